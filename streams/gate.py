"""The circuit breaker towards something that may be down: work waits at it while one probe tests it.

Libraries for circuit breakers refuse calls while open; a stage that may lose nothing has to wait instead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

log = logging.getLogger(__name__)


class Stopping(Exception):
    """The stage must end or give its partitions away while it waits; nothing was acknowledged."""


class Gate:
    """Open while what is behind it is believed to answer; closed by a failure, opened by `probe`."""

    def __init__(self, name: str, probe: Callable[[], Awaitable[bool]], stopping: Callable[[], bool]) -> None:
        self._name = name
        self._probe = probe
        self._stopping = stopping
        self._open = asyncio.Event()
        self._open.set()
        self._probing: asyncio.Task[None] | None = None

    def close(self, reason: str) -> None:
        """Make work wait until a probe succeeds."""
        if self._open.is_set():
            self._open.clear()
            log.warning("waits for %s, nothing is lost: %s", self._name, reason)
            self._probing = asyncio.create_task(self._open_when_back())

    async def passed(self) -> None:
        """Wait until open. Raises Stopping as soon as `stopping` says so while closed."""
        while not self._open.is_set():
            if self._stopping():
                raise Stopping(f"stopped while waiting for {self._name}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._open.wait(), 0.2)

    async def _open_when_back(self) -> None:
        since, pause = time.monotonic(), 0.1
        while True:
            await asyncio.sleep(pause)
            try:
                back = await self._probe()
            except Exception:
                log.exception("the probe of %s failed, which counts as no answer", self._name)
                back = False
            if back:
                log.warning("goes on: %s answers again after %.1f s", self._name, time.monotonic() - since)
                self._open.set()
                return
            pause = min(pause * 1.5, 2)
