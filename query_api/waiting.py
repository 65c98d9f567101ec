"""Waiting until the view has what is asked for: an image's outcome, or all before a position on the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from uuid import UUID

import duckdb
import psycopg
from psycopg.sql import SQL, Identifier

from query_api.errors import ViewUnavailable
from query_api.view import View
from streams.settings import Settings
from streams.topics import UPLOADED

STANDING = """
SELECT (SELECT max(snapshot_id) FROM {generation}.ducklake_snapshot),
       (SELECT jsonb_object_agg(partition, next_offset) FROM circles.offsets
        WHERE generation = %s AND topic = %s)"""
LOOK_S = 0.01
Position = Mapping[int, int]
"""An offset of `images.uploaded` by partition."""
log = logging.getLogger(__name__)


class Waiting:
    """All who wait; one task looks at the catalog for them, and only while there are any."""

    def __init__(self, settings: Settings, view: View) -> None:
        self._catalog_url, self._view = settings.catalog_url, view
        self._outcomes: dict[UUID, list[asyncio.Future[bool]]] = {}
        self._positions: list[tuple[Position, asyncio.Future[None]]] = []
        self._folded: Position | None = None  # not known
        self._watching: asyncio.Task[None] | None = None

    async def detected(self, image_id: UUID, timeout_s: float) -> bool:
        """Wait until the view has the image's detection; False when it failed or that took too long."""
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._outcomes.setdefault(image_id, []).append(outcome)
        self._watch_on()
        try:
            return await asyncio.wait_for(outcome, timeout_s)
        except TimeoutError:
            return False
        finally:
            self._outcomes[image_id].remove(outcome)
            if not self._outcomes[image_id]:
                del self._outcomes[image_id]

    async def passed(self, position: Position, timeout_s: float) -> Position:
        """Wait until the view has passed a position; of what it has not in time, how many messages remain.

        Raises ViewUnavailable where the catalog did not answer.
        """
        entry = position, asyncio.get_running_loop().create_future()
        self._positions.append(entry)
        self._watch_on()
        try:
            await asyncio.wait_for(entry[1], timeout_s)
        except TimeoutError:
            if self._folded is None:
                raise ViewUnavailable("the view's catalog does not answer") from None
            return remaining(position, self._folded)
        finally:
            self._positions.remove(entry)
        return {}

    def _watch_on(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        self._folded = None
        while self._outcomes or self._positions:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._catalog_url.get_secret_value(), autocommit=True, connect_timeout=3
                ) as catalog:
                    await self._look(catalog)
            except (psycopg.Error, duckdb.Error, ViewUnavailable) as error:
                self._folded = None
                log.warning("waiting for the catalog: %s", type(error).__name__)
                await asyncio.sleep(0.5)

    async def _look(self, catalog: psycopg.AsyncConnection) -> None:
        """Wake those whose wait is over, as long as there are others."""
        seen = None
        while self._outcomes or self._positions:
            # Of the generation that is read: one that was retired changes no more.
            generation = await self._view.generation()
            standing = SQL(STANDING).format(generation=Identifier(generation))
            ((snapshot, folded),) = await (
                await catalog.execute(standing, [generation, UPLOADED.name])
            ).fetchall()
            self._folded = {int(partition): offset for partition, offset in (folded or {}).items()}
            for position, passed in self._positions:
                if not passed.done() and not remaining(position, self._folded):
                    passed.set_result(None)
            if seen == (generation, snapshot):
                await asyncio.sleep(LOOK_S)
                continue
            waiting = list(self._outcomes)
            for row in await self._view.rows("finished", image_ids=waiting) if waiting else ():
                for outcome in self._outcomes.get(row["image_id"], ()):
                    if not outcome.done():
                        outcome.set_result(row["detected"])
            # Who came while the query ran is not in its answer: look at this snapshot again.
            seen = (generation, snapshot) if self._outcomes.keys() <= set(waiting) else None


def remaining(position: Position, folded: Position) -> dict[int, int]:
    """How many messages are not folded up to and with a position's, by partition; none where all are."""
    lags = {partition: offset + 1 - folded.get(partition, 0) for partition, offset in position.items()}
    return {partition: lag for partition, lag in lags.items() if lag > 0}
