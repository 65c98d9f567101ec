"""Who does the work: a thread for each core, and a process for models that may end theirs."""

from __future__ import annotations

import asyncio
import heapq
import itertools
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


class Turns:
    """So many at once. Of those who wait the most urgent one is next, of equal ones the first.

    While others are there, those in the background leave one turn free for who comes next. Not for threads.
    """

    def __init__(self, count: int) -> None:
        self._free, self._others, self._came = count, 0, itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, urgency: int) -> AsyncIterator[None]:
        """A turn while the block runs."""
        other = urgency <= USUAL
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._came), mine))
        self._others += other
        self._give()
        try:
            await mine
            yield
        finally:
            self._free += mine.done() and not mine.cancelled()
            self._others -= other
            self._give()

    def _give(self) -> None:
        while self._waiting:
            urgency, _, first = self._waiting[0]
            if not first.done():  # else it has given up
                if self._free <= (urgency > USUAL and self._others > 0):
                    return
                self._free -= 1
                first.set_result(None)
            heapq.heappop(self._waiting)


class Workers:
    """As many pieces of work at once as there are cores."""

    def __init__(self, limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(limits.workers, thread_name_prefix="model")
        self._turns = Turns(limits.workers)
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
            await held.enter_async_context(self._turns.turn(urgency))
            self.busy += 1
            try:
                yield
            finally:
                self.busy -= 1

    async def run(self, model: Model, work: Callable[[], T]) -> T:
        """Do the work, within a turn. Raises what it raises, and ModelCrashed.

        A caller that is cancelled waits for the end all the same: a thread cannot be stopped, and
        its core is not another's before.
        """
        doing: asyncio.Future[T]
        if model.may_crash:
            doing = asyncio.ensure_future(self._apart.run(work))
        else:
            doing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            if not doing.cancelled():
                doing.exception()  # nobody else looks at it
            raise

    def close(self) -> None:
        self._apart.close()
        self._threads.shutdown(cancel_futures=True)
