"""Who does the work: a thread for each core, and a process for models that may end theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from detector.models import Model
from detector.serving.apart import Apart
from detector.serving.limits import Limits

T = TypeVar("T")


class Workers:
    """As many pieces of work at once as there are cores, in the order in which they came."""

    def __init__(self, limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(limits.workers, thread_name_prefix="model")
        self._turns = asyncio.Semaphore(limits.workers)
        self._apart = Apart(limits.crash_timeout_s)
        self._one_apart = asyncio.Semaphore(1)
        self.busy = 0

    @asynccontextmanager
    async def turn(self, model: Model) -> AsyncIterator[None]:
        """A core for a model while the block runs.

        Those for the one process wait for it before they wait for a core, so that they hold none idle.
        """
        async with AsyncExitStack() as held:
            if model.may_crash:
                await held.enter_async_context(self._one_apart)
            await held.enter_async_context(self._turns)
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
