"""Asking for a comparison: one at a time, in a process of its own that is gone when its answer is there."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson

from query_api import apart
from query_api.comparing.asked import Asked, Told
from query_api.errors import Problem, SnapshotGone, ViewUnavailable
from query_api.stopping import Stopping
from streams.settings import Settings

KEPT_S = 60.0
"""A process for the next comparison, after one: who asks for one often asks for others, and half a second and
more of each is imports. Nobody else should pay for it with its memory."""
WAIT_S = 5.0
"""For those before: who would wait longer gets 503."""
BUSY = {"Retry-After": "5"}
FAILED = 1
"""What Python ends with for what nobody caught. Else the kernel, C++ or C ended it, for lack of memory."""
OF_CHILD = {"OPENBLAS_NUM_THREADS": "1"}
"""Of the environment: each of its threads takes memory, whether it has work or not."""
log = logging.getLogger(__name__)


class Comparisons:
    """Not for threads: all of it happens on the event loop."""

    def __init__(
        self, settings: Settings, stopping: Stopping, wait_s: float = WAIT_S, kept_s: float = KEPT_S
    ) -> None:
        self._settings, self._stopping, self._wait_s = settings, stopping, wait_s
        self._turn = asyncio.Semaphore(1)
        self.ahead = apart.Ahead(_start, stopping, kept_s)

    async def answer(self, asked: Asked, gone: Callable[[], Awaitable[None]], nothing: int = 404) -> bytes:
        """What `work.done` returns. gone: returns when nobody waits for it any more.

        Raises Problem 400, 422, 503, 504, `nothing` where there is nothing to compare; SnapshotGone,
        ViewUnavailable.
        """
        limit_s = self._settings.compare_timeout_s
        told = Told(asked, limit_s, self._settings.compare_memory_mb)
        async with self._turned():
            process = (await self.ahead.take()).process
            try:
                said = await apart.talk(process, pickle.dumps(told), limit_s, self._stopping, gone)
            finally:
                await apart.end(process)
                self.ahead.prepare()
        if said is None or process.returncode in (-signal.SIGALRM, -signal.SIGXCPU):
            raise Problem(
                504,
                f"the comparison takes longer than {limit_s:g} s (COMPARE_TIMEOUT_S): ask for fewer images",
            )
        return self._answer(*said, process.returncode, nothing)

    @asynccontextmanager
    async def _turned(self) -> AsyncIterator[None]:
        """A turn while the block runs, first come, first served. Raises Problem 503."""
        try:
            async with self._stopping.cut(), asyncio.timeout(self._wait_s):
                await self._turn.acquire()
        except TimeoutError:
            raise Problem(503, "another comparison is under way; try again", BUSY) from None
        try:
            yield
        finally:
            self._turn.release()

    def _answer(self, out: bytes, errors: bytes, returncode: int | None, nothing: int) -> bytes:
        line, _, answer = out.partition(b"\n")
        said = orjson.loads(line) if returncode == 0 and line else {"ended": "died"}
        detail = said.get("detail", "")
        match said["ended"]:
            case "well":
                return answer
            case "nothing":
                raise Problem(nothing, detail)
            case "refused":
                raise Problem(422, detail)
            case "gone":
                raise SnapshotGone(
                    "the view as it was then is not kept any more, or had not all of its tables yet"
                )
            case "unavailable":
                log.warning("a comparison could not read the view: %s", detail)
                raise ViewUnavailable("the view's catalog or file store does not answer")
        if said["ended"] == "died":
            log.error("a comparison ended (%s): %s", returncode, errors.decode(errors="replace")[-2_000:])
            if returncode == FAILED:
                raise RuntimeError("the process of a comparison failed")
        memory = f"{self._settings.compare_memory_mb} MB (COMPARE_MEMORY_MB)"
        raise Problem(422, f"the comparison needs more than {memory}: ask for fewer images")


async def _start() -> apart.Started:
    """A process that waits for its request. Raises OSError."""
    return apart.Started(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "query_api.comparing.child",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=os.environ | OF_CHILD,
        )
    )
