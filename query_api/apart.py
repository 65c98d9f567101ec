"""A process for one request: ended when it takes too long, when nobody waits for it, and when we stop."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request

from query_api.errors import Problem
from query_api.stopping import Stopping


@dataclass(frozen=True, slots=True)
class Started:
    """A process that waits for its request."""

    process: Process

    async def drop(self) -> None:
        """End it unasked, with all that it was given."""
        await end(self.process)


Kind = TypeVar("Kind", bound=Started)


class Ahead(Generic[Kind]):
    """Processes of a kind, the next of them started ahead: that takes longer than most of their answers.

    Not for threads.
    """

    def __init__(
        self, start: Callable[[], Awaitable[Kind]], stopping: Stopping, kept_s: float | None = None
    ) -> None:
        """start: may raise OSError; kept_s: how long one is kept that nobody needs, None: for good."""
        self._start, self._stopping, self._kept_s = start, stopping, kept_s
        self._next: asyncio.Task[Kind] | None = None
        self._letting_go: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Start the next one."""
        if self._next is None and not self._stopping.told:
            self._next = asyncio.ensure_future(self._start())
            if self._kept_s is not None:
                self._letting_go = asyncio.create_task(self._let_go(self._kept_s))

    async def take(self) -> Kind:
        """The one that was started ahead, or another where it is gone. Raises Problem 503."""
        ahead, self._next = self._next, None
        if self._letting_go:
            self._letting_go.cancel()
        with suppress(OSError):
            if ahead:
                if (started := await ahead).process.returncode is None:
                    return started
                await started.drop()
        try:
            return await self._start()
        except OSError as error:
            raise Problem(503, "no process can be started for it now", {"Retry-After": "5"}) from error

    async def close(self) -> None:
        """End what was started ahead."""
        if self._letting_go:
            self._letting_go.cancel()
        await self._end()

    async def _let_go(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._end()

    async def _end(self) -> None:
        ahead, self._next = self._next, None
        if ahead:
            with suppress(OSError):
                await (await ahead).drop()


async def talk(
    process: Process,
    request: bytes,
    limit_s: float,
    stopping: Stopping,
    gone: Callable[[], Awaitable[None]],
) -> tuple[bytes, bytes] | None:
    """What the process says to a request, and its errors; None: it takes longer. `end` it in any case.

    gone: returns when nobody waits for it any more. Raises Problem 400, 503.
    """
    saying, leaving = asyncio.create_task(process.communicate(request)), asyncio.create_task(_until(gone))
    try:
        async with stopping.cut():
            await asyncio.wait((saying, leaving), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        raise Problem(503, "try again soon: this process is stopping", {"Retry-After": "1"}) from None
    finally:
        left = leaving.done()
        leaving.cancel()
        if not saying.done():
            saying.cancel()
    if saying.done():
        return saying.result()
    if left:
        raise Problem(400, "the client went away before its answer")
    return None


async def end(process: Process) -> None:
    """Kill it, where it still is, and wait until it is gone, whatever happens to who asked."""
    with suppress(ProcessLookupError):
        process.kill()
    await asyncio.shield(process.wait())


async def gone(request: Request) -> None:
    """Until the client went away. The request's body was read, or there is none."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _until(gone: Callable[[], Awaitable[None]]) -> None:
    await gone()
