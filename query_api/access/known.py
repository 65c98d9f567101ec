"""What is asked of another service again and again, kept for a moment: API keys, and an issuer's keys."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
NEAR_S = 0.2
"""Who asks for what is not there waits so long for the next fetch: it may have been made just now."""
log = logging.getLogger(__name__)


class Unavailable(Exception):
    """Where it is fetched from does not answer. A request that needs it gets 503."""


class Known(Generic[T]):
    """A mapping, fetched whole, so that names that are not in it cost their askers' patience only.

    `fetch` raises Unavailable. fresh_s: so long it is used as it is. again_s: least time between two
    fetches, however many ask for what is not there. stale_s: so long it is used while fetching fails.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, T]]],
        *,
        fresh_s: float,
        again_s: float,
        stale_s: float,
    ) -> None:
        self._fetch, self._fresh_s, self._again_s, self._stale_s = fetch, fresh_s, again_s, stale_s
        self._items: Mapping[str, T] = {}
        self._at = self._tried = float("-inf")
        self._failing = False
        self._fetching: asyncio.Task[None] | None = None

    def fresh(self, name: str) -> T | None:
        """The item where it is known and may be used as it is: for who asks at each request."""
        return self._items.get(name) if time.monotonic() - self._at < self._fresh_s else None

    async def get(self, name: str) -> T | None:
        """The item, or None where there was none when this was asked. Raises Unavailable."""
        asked = time.monotonic()
        while True:
            now, found = time.monotonic(), self._items.get(name)
            if self._at >= asked or (found is not None and now - self._at < self._fresh_s):
                return found
            fetching = self._fetch_once()
            if self._failing and found is not None and now - self._at < self._stale_s:
                return found  # and nobody waits each time for what does not answer
            due_s = self._tried + self._again_s - now
            if fetching:
                await asyncio.shield(fetching)  # others wait for it, too
            elif self._failing:
                raise Unavailable
            elif due_s < NEAR_S:
                await asyncio.sleep(max(due_s, 0.001))
            else:
                return found

    def _fetch_once(self) -> asyncio.Task[None] | None:
        """The fetch under way, begun if it is due."""
        if self._fetching is None and time.monotonic() - self._tried > self._again_s:
            self._fetching = asyncio.create_task(self._take())
        return self._fetching

    async def _take(self) -> None:
        began = time.monotonic()  # what changes from here on may not be in the answer
        try:
            self._items = await self._fetch()
            self._at, self._failing = began, False
        except Unavailable as error:
            if not self._failing:
                log.warning("goes on with the keys it knows for %g s at most: %s", self._stale_s, error)
            self._failing = True
        finally:
            self._tried, self._fetching = time.monotonic(), None
