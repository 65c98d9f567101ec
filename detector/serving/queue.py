"""Who may come in: places for requests, bounded in number and in the bytes of their bodies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detector.errors import Overloaded


class Place:
    """One request's, from before its body is read until its answer is made."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.held_bytes = 0

    def hold(self, size: int) -> None:
        """Count so many bytes as this request's body. Raises Overloaded."""
        more = size - self.held_bytes
        if self._queue.held_bytes + more > self._queue.most_bytes:
            raise Overloaded(f"the bodies of {self._queue.taken} requests fill the queue; try again")
        self._queue.held_bytes += more
        self.held_bytes = size


class Queue:
    """Not for threads: all of it happens on the event loop."""

    def __init__(self, places: int, most_bytes: int) -> None:
        self.places, self.most_bytes = places, most_bytes
        self.taken = self.held_bytes = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place while the block runs. Raises Overloaded at once where there is none."""
        if self.taken >= self.places:
            raise Overloaded(f"{self.taken} requests wait or are worked on, as many as may; try again")
        place = Place(self)
        self.taken += 1
        try:
            yield place
        finally:
            self.taken -= 1
            self.held_bytes -= place.held_bytes
