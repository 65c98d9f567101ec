"""When images were uploaded, coarsely: how far back to look for the newest so many."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import datetime

STEP = 1_000
"""Images from one time that is kept to the next."""
NEAR, FURTHER = 4, 16
"""Steps that are looked back at first, and so many times more each time that this was not enough."""


class Times:
    """The times of upload of one in so many images, as they came. One thread changes them, any may read."""

    def __init__(self, step: int = STEP) -> None:
        self._step = step
        self._kept: list[datetime] = []
        self._since = 0

    def load(self, times: Iterable[datetime]) -> None:
        """Begin with those of one in `step` images, in their order."""
        self._kept = list(times)

    def add(self, count: int, newest: datetime) -> None:
        """So many more images, the newest of them of that time."""
        self._since += count
        if self._since >= self._step:
            insort(self._kept, newest)
            self._since = 0

    def drop(self, before: datetime) -> None:
        """Images from before some time are no longer there."""
        del self._kept[: bisect_left(self._kept, before)]

    def back(self, until: datetime | None) -> Iterator[datetime]:
        """Ever further back: times with some thousand images between them and `until`, None: the newest."""
        kept, steps = self._kept, NEAR
        at = len(kept) if until is None else bisect_left(kept, until)
        while steps < at:
            yield kept[at - steps]
            steps *= FURTHER
