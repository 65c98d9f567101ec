"""The live view as a process reads it that asks seldom: one connection, whatever generation is live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import duckdb

from streams import lake
from streams.ledger import Ledger, Offsets
from streams.settings import Settings

Found = TypeVar("Found")
LOOK_S = 0.05
WITHOUT_STATISTICS = "SET disabled_optimizers = 'statistics_propagation,join_order'"
"""DuckLake asks the catalog for those of each column: three quarters of the time of a look at few rows, and
no gain where there are many (docs/decisions.md)."""


def seen(settings: Settings, sent: Mapping[tuple[str, int], int], within_s: float) -> bool:
    """Whether the view comes to have what was sent, by its offsets, in time.

    Raises psycopg.Error, duckdb.Error.
    """
    deadline = time.monotonic() + within_s
    with lake.catalog(settings) as catalog:
        while True:
            folded = Ledger(catalog, lake.live(settings)).stored()
            if all(folded.get(place, 0) > offset for place, offset in sent.items()):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)


class LiveView:
    """Of one event loop; each question is asked on a thread, one after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._turn = settings, asyncio.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._generation = ""

    async def ask(self, question: Callable[[duckdb.DuckDBPyConnection], Found]) -> Found:
        """Raises duckdb.Error, psycopg.Error, LakeRefused."""
        async with self._turn:
            return await asyncio.to_thread(self._ask, question)

    async def folded(self) -> Offsets:
        """How far the log is in the view. Raises psycopg.Error, duckdb.Error."""
        return await asyncio.to_thread(self._folded)

    def _ask(self, question: Callable[[duckdb.DuckDBPyConnection], Found]) -> Found:
        live = lake.live(self._settings)
        if self._connection is None or live != self._generation:
            self._connection = lake.connect(self._settings, read_only=True, generation=live)
            self._connection.execute(WITHOUT_STATISTICS)
            self._generation = live
        try:
            return question(self._connection)
        except duckdb.Error:
            self._connection = None
            raise

    def _folded(self) -> Offsets:
        with lake.catalog(self._settings) as catalog:
            return Ledger(catalog, lake.live(self._settings)).stored()
