"""Waiting until the view has what is asked for: an image's outcome, or all before a position."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from uuid import UUID

from query_api.errors import ViewUnavailable

REMEMBERED = 100_000
"""Newest outcomes: an image's may be there before anybody waits for it."""
At = tuple[str, int] | str
"""A topic's partition, or a generation."""
Position = Mapping[At, int]
"""An offset by partition, and a snapshot by the generation that it is of."""


class Waiting:
    """All who wait, on the event loop; the follower says what came."""

    def __init__(self) -> None:
        self._outcomes: dict[bytes, list[asyncio.Future[bool]]] = {}
        self._known: OrderedDict[bytes, bool] = OrderedDict()
        self._positions: list[tuple[Position, asyncio.Future[None]]] = []
        self._folded: Position | None = None

    def came(
        self, folded: Position | None, detected: Iterable[bytes] = (), failed: Iterable[bytes] = ()
    ) -> None:
        """Wake those whose wait is over. folded: how far what is read is; None where nobody knows."""
        self._folded = folded
        for outcome, images in ((False, failed), (True, detected)):
            for image_id in images:
                self._known[image_id] = outcome
                for waiting in self._outcomes.get(image_id, ()):
                    if not waiting.done():
                        waiting.set_result(outcome)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        for position, passed in self._positions:
            if folded is not None and not passed.done() and not remaining(position, folded):
                passed.set_result(None)

    async def detected(self, image_id: UUID, timeout_s: float) -> bool:
        """Wait until the view has the image's detection; False when it failed or that took too long."""
        if image_id.bytes in self._known:
            return self._known[image_id.bytes]
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = self._outcomes.setdefault(image_id.bytes, [])
        waiting.append(outcome)
        try:
            return await asyncio.wait_for(outcome, timeout_s)
        except TimeoutError:
            return False
        finally:
            waiting.remove(outcome)
            if not waiting:
                self._outcomes.pop(image_id.bytes, None)

    async def passed(self, position: Position, timeout_s: float) -> Position:
        """Wait until the view has passed a position; of what it has not in time, how many messages remain.

        Raises ViewUnavailable where the catalog did not answer.
        """
        if self._folded is not None and not remaining(position, self._folded):
            return {}
        entry = position, asyncio.get_running_loop().create_future()
        self._positions.append(entry)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(entry[1], timeout_s)
                return {}
        finally:
            self._positions.remove(entry)
        if self._folded is None:
            raise ViewUnavailable("the view's catalog does not answer")
        return remaining(position, self._folded)


def remaining(position: Position, folded: Position) -> dict[At, int]:
    """How many messages, or commits, are missing up to and with a position's; none where all are there.

    Snapshots of a generation that is not the live one are passed: what follows it has all that it had.
    """
    known = {at: last for at, last in position.items() if isinstance(at, tuple) or at in folded}
    lags = {at: last + 1 - folded.get(at, 0) for at, last in known.items()}
    return {at: lag for at, lag in lags.items() if lag > 0}
