"""Turns of uploads: a few are worked on, a few more are read or wait, and beyond these none is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from query_api.errors import Problem

RETRY_AFTER_S = "1"


class Turns:
    """Not for threads: all of it happens on the event loop.

    A place is held from before the body is read, so that bodies are bounded too; a turn only while the
    image is checked, stored and logged, so that slow clients keep nobody from working.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self.places = at_once + waiting
        self.taken = self.refused = 0
        self._turns = asyncio.Semaphore(at_once)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place while the block runs. Raises Problem 429 where there is none."""
        if self.taken >= self.places:
            self.refused += 1
            raise Problem(
                429,
                f"{self.taken} uploads are under way, as many as this API takes at once; try again",
                {"Retry-After": RETRY_AFTER_S},
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, first come, first served; it lasts as long as the block."""
        async with self._turns:
            yield
