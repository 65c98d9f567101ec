"""Told to stop: who waits for something is answered at once, and nobody new should be sent here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Stopping:
    """One for a process. Not for threads."""

    def __init__(self) -> None:
        self.told = False
        self._waits: set[asyncio.Timeout] = set()

    def tell(self) -> None:
        """The process was told to stop."""
        self.told = True
        for wait in self._waits:
            wait.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """The block ends with TimeoutError as soon as the process is told to stop."""
        async with asyncio.timeout(0 if self.told else None) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)
