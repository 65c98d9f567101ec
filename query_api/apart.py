"""A process for one request: ended when it takes too long, when nobody waits for it, and when we stop."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import Request

from query_api.errors import Problem
from query_api.stopping import Stopping


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
