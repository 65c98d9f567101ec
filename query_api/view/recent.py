"""The newest changes in memory, shared by all who follow them, and the older ones from the lake.

Nobody has a queue: who follows has a place, and a slow one whose place is not in memory any more reads on
from the lake. So memory is bounded, however many follow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from uuid import UUID

from query_api.view.changes import Change, Of, changes, unnamed
from query_api.view.commits import Delta
from query_api.view.questions import Question
from query_api.view.reading import View
from query_api.view.rows import TOLD

KEPT = 20_000
"""Most changes in memory."""


class Piece:
    """The changes of the commits after a snapshot, up to and with another; made when first asked for."""

    def __init__(self, after: int, delta: Delta) -> None:
        self.after, self.until = after, delta.snapshot
        tables = {name: delta.tables[name] for name in TOLD if name in delta.tables}
        self.size = 1 + sum(rows.num_rows for rows in tables.values())
        self._delta = Delta(delta.snapshot, {}, tables, delta.snapshots)
        self._made: asyncio.Task[list[Change]] | None = None

    async def changes(self, view: View) -> list[Change]:
        """In order. Raises ViewUnavailable where it cannot be said whose images are."""
        if self._made is None or (self._made.done() and (self._made.cancelled() or self._made.exception())):
            self._made = asyncio.create_task(self._make(view))
        return await asyncio.shield(self._made)  # one who leaves takes it from nobody

    async def _make(self, view: View) -> list[Change]:
        known: dict[UUID, Of] = {}
        images = await asyncio.to_thread(unnamed, self._delta)
        if images:
            question = Question("images", ("among",), values={"images": images}, count=len(images))
            for row in await view.rows(question):
                known[row["image_id"]] = Of(row["project_id"], row["source_id"])
        found = await asyncio.to_thread(changes, self._delta, known)
        return [change for change in found if change.place.snapshot > self.after]


class Recent:
    """What the follower tells of, on the event loop: all changes of commits after `first`, up to `at`."""

    def __init__(self, most: int = KEPT) -> None:
        self.generation = ""
        """That of the view; empty before the first look at the catalog."""
        self.first = self.at = 0
        self._most, self._size = most, 0
        self._pieces: deque[Piece] = deque()
        self._news = asyncio.Event()

    def came(self, generation: str, after: int, delta: Delta) -> None:
        """Commits after a snapshot, which lead to that of the delta."""
        if generation != self.generation or after > self.at:  # nothing leads there from what is known
            self._pieces.clear()
            self.generation, self._size, self.first, self.at = generation, 0, after, after
        if delta.snapshot > self.at:
            piece = Piece(self.at, delta)  # after a window is loaded, some commits are seen again
            self._pieces.append(piece)
            self._size += piece.size
            self.at = piece.until
            while self._size > self._most:
                self._size -= self._pieces[0].size
                self.first = self._pieces.popleft().until
        self._news.set()
        self._news = asyncio.Event()

    def has(self, after: int) -> bool:
        """Whether nothing of what followed a snapshot is missing here."""
        return self.first <= after <= self.at

    def piece(self, after: int) -> Piece | None:
        """The changes behind a snapshot, and maybe some before it; None where they are not here."""
        if not self.has(after):
            return None
        return next((piece for piece in reversed(self._pieces) if piece.after <= after < piece.until), None)

    async def news(self) -> None:
        """Wait until something may have come."""
        await self._news.wait()
