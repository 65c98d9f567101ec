"""Reading the view: named queries over the lake, on threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import duckdb

from query_api.errors import ViewUnavailable
from streams import lake
from streams.errors import LakeRefused
from streams.settings import Settings
from streams.statements import read_statements

QUERIES = read_statements("query_api", "queries.sql")
LOOK_S = 1.0
"""Between looks for another generation that went live."""
LOST = (
    duckdb.IOException, duckdb.CatalogException, duckdb.TransactionException, duckdb.ConnectionException,
    duckdb.FatalException, duckdb.InternalException, LakeRefused,
)  # fmt: skip
"""What a connection raises that will not come to itself again."""


class View:
    """The live lake, attached read-only; attached anew when the catalog was away or another one went live."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._generation, self._looked = "", 0.0

    async def rows(self, query: str, *conditions: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query of `queries.sql` that meet some conditions of it. Raises ViewUnavailable."""
        met = " AND ".join(f"({QUERIES[condition]})" for condition in conditions) or "true"
        return await asyncio.to_thread(self._rows, QUERIES[query].replace("{conditions}", met), parameters)

    async def generation(self) -> str:
        """The generation that is read, looked up when that is due."""
        due = time.monotonic() - self._looked > LOOK_S
        return await asyncio.to_thread(self._live) if due else self._generation

    def _rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        for last_try in (False, True):
            connection = None
            try:
                connection = self._attached()
                with connection.cursor() as cursor:
                    # A query takes only the parameters that it names.
                    result = cursor.execute(sql, dict(parameters))
                    names = [column[0] for column in result.description]
                    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
            except LOST as error:
                self._forget(connection)
                if last_try:
                    raise ViewUnavailable("the view's catalog or file store does not answer") from error
        raise AssertionError("unreachable")

    def _attached(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._connection is None or time.monotonic() - self._looked > LOOK_S:
                live = lake.live(self._settings)
                if self._connection is None or live != self._generation:
                    self._connection = lake.connect(self._settings, read_only=True, generation=live)
                    self._generation = live
                self._looked = time.monotonic()
            return self._connection

    def _live(self) -> str:
        """The generation that is read from now on."""
        self._attached()
        return self._generation

    def _forget(self, connection: duckdb.DuckDBPyConnection | None) -> None:
        with self._lock:
            if connection is not None and self._connection is connection:
                self._connection = None  # other threads may still read from it; it closes with the last


def by_image(rows: Sequence[dict[str, Any]]) -> dict[UUID, list[dict[str, Any]]]:
    """Rows grouped by their image, in their order."""
    groups: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["image_id"], []).append(row)
    return groups
