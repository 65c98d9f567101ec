"""Who does the work: a thread for each core, and a process for models that may end theirs."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from detector.models import Model
from detector.serving.apart import Apart
from detector.serving.limits import Limits

T = TypeVar("T")


USUAL = 3
"""The urgency of a request that names none, of 0 to 7; those of more are in the background (RFC 9218)."""


OTHERS_S = 1.0
"""So long after the last request that is not in the background another is expected."""
REST, MOST_REST_S = 4.0, 0.5
"""So many times as long as one in the background had a turn the next one leaves it alone, while others are
expected: each stage of a live image's way needs the cores, too."""


class Turns:
    """So many at once. Of those who wait the most urgent one is next, of equal ones the first.

    While others are there or were just now, those in the background leave one turn free for who comes next,
    and pause between two of theirs. Not for threads, but for `is_wanted`.
    """

    def __init__(self, count: int) -> None:
        self._free, self._others, self._came = count, 0, itertools.count()
        self._kept = min(1, count - 1)
        self._resting, self._last_other = 0, -math.inf
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, urgency: int) -> AsyncIterator[None]:
        """A turn while the block runs."""
        other = urgency <= USUAL
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._came), mine))
        self._others += other
        self._give()
        began = math.inf
        try:
            await mine
            began = time.monotonic()
            yield
        finally:
            now, loop = time.monotonic(), asyncio.get_running_loop()
            self._free += mine.done() and not mine.cancelled()
            if other:
                self._others, self._last_other = self._others - 1, now
                loop.call_later(OTHERS_S, self._give)
            elif now > began:
                self._resting += 1
                loop.call_later(min(REST * (now - began), MOST_REST_S), self._rested)
            self._give()

    def is_wanted(self, urgency: int) -> bool:
        """Whether who has a turn of this urgency should leave it before the next piece of their work."""
        first = self._waiting[:1]
        return self._others_expected() if urgency > USUAL else bool(first and first[0][0] <= urgency)

    def _others_expected(self) -> bool:
        return self._others > 0 or time.monotonic() < self._last_other + OTHERS_S

    def _rested(self) -> None:
        self._resting -= 1
        self._give()

    def _give(self) -> None:
        others = self._others_expected()
        while self._waiting:
            urgency, _, first = self._waiting[0]
            if not first.done():  # else it has given up
                if self._free <= (urgency > USUAL and others and self._kept + self._resting):
                    return
                self._free -= 1
                first.set_result(None)
            heapq.heappop(self._waiting)


class Workers:
    """As many pieces of work at once as there are cores."""

    def __init__(self, limits: Limits) -> None:
        self._threads = [ThreadPoolExecutor(1, f"model {n}") for n in range(limits.workers)]
        self._idle = list(self._threads)
        self.turns = Turns(limits.workers)
        self._apart = Apart(limits.crash_timeout_s)
        self._one_apart = Turns(1)
        self.busy = 0

    @asynccontextmanager
    async def turn(self, model: Model, urgency: int) -> AsyncIterator[None]:
        """A core for a model while the block runs.

        Those for the one process wait for it before they wait for a core, so that they hold none idle.
        """
        async with AsyncExitStack() as held:
            if model.may_crash:
                await held.enter_async_context(self._one_apart.turn(urgency))
            await held.enter_async_context(self.turns.turn(urgency))
            self.busy += 1
            try:
                yield
            finally:
                self.busy -= 1

    async def run(self, model: Model, work: Callable[[], T]) -> T:
        """Do the work, within a turn. Raises what it raises, and ModelCrashed.

        Where nothing else is under way one thread does all of it: another's core would have none of the
        model's memory in its caches, which costs an image a fifteenth more.

        A caller that is cancelled waits for the end all the same: a thread cannot be stopped, and
        its core is not another's before.
        """
        doing: asyncio.Future[T]
        if model.may_crash:
            doing = asyncio.ensure_future(self._apart.run(work))
        else:
            thread = self._idle.pop()
            doing = asyncio.get_running_loop().run_in_executor(thread, work)
            doing.add_done_callback(lambda _: self._idle.append(thread))
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            if not doing.cancelled():
                doing.exception()  # nobody else looks at it
            raise

    def close(self) -> None:
        self._apart.close()
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)
