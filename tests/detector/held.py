"""A model whose calls last as long as a test wants."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
from numpy.typing import NDArray

from detector import CIRCLE, Circles


class Held:
    """Calls end when they are let go. In an image are as many circles as its first value says."""

    def __init__(self) -> None:
        self.go, self.called = threading.Semaphore(0), threading.Semaphore(0)
        self.seen: list[int] = []

    def detect(self, image: NDArray[np.uint8]) -> Circles:
        self.seen.append(int(image.flat[0]))
        self.called.release()
        assert self.go.acquire(timeout=30)
        return np.ones(image.flat[0], CIRCLE)

    async def begins(self) -> None:
        """Return once one more call has begun."""
        assert await asyncio.to_thread(self.called.acquire, timeout=30)


async def settled() -> None:
    """Return once all that this loop can do without waiting is done: who asks has come to the queue."""
    for _ in range(200):
        await asyncio.sleep(0)
