"""A process of its own for a model that may end it: an image costs at most its own request."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import wait
from typing import TypeVar

import cv2

from detector.errors import ModelCrashed
from detector.serving.memory import keep_buffers

TRIES = 2
"""An earlier image may have broken the heap that this one died of."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Apart:
    """One process, started at the first call and again whenever it died; one call at a time."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pool: ProcessPoolExecutor | None = None
        self._pid = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Call a function that pickles in the process. Raises what it raises, and ModelCrashed."""
        for _ in range(TRIES):
            try:
                return await self._try(work)
            except BrokenProcessPool:
                log.warning("the model's process ended before it answered")
                self._drop(wait=False)
        raise ModelCrashed(f"the model's process ended without an answer {TRIES} times")

    def close(self) -> None:
        """End the process, busy or not."""
        if self._pool:
            self._kill()
        self._drop(wait=True)

    async def _try(self, work: Callable[[], T]) -> T:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=prepare)
            self._pid = await asyncio.wrap_future(self._pool.submit(os.getpid))
        doing = asyncio.wrap_future(self._pool.submit(work))
        await asyncio.wait([doing], timeout=self._timeout_s)
        if not doing.done():
            log.warning("no answer from the model's process for %g s: it hangs", self._timeout_s)
            self._kill()
        return await doing

    def _kill(self) -> None:
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _drop(self, *, wait: bool) -> None:
        pool, self._pool, self._pid = self._pool, None, 0
        if pool:
            pool.shutdown(wait=wait, cancel_futures=True)


def prepare() -> None:
    """In the process: ends with the server, however that ends, and not before it on Ctrl-C."""
    cv2.setNumThreads(1)
    keep_buffers()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=end_with_the_server, daemon=True).start()


def end_with_the_server() -> None:
    server = multiprocessing.parent_process()
    if server:
        wait([server.sentinel])
        os._exit(1)
