"""Orders of lists, and the cursors that lead from page to page."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer
from psycopg_pool import AsyncConnectionPool

from query_api.errors import Problem
from query_api.view.questions import NEWEST_FIRST


@dataclass(frozen=True, slots=True)
class Order:
    """A total order of rows by some columns, the last of them unique.

    behind: the condition of queries.sql for what comes after a row, whose values are `$k0` and so on;
    own: whether that is one on what was uploaded.
    """

    by: Sequence[str]
    descending: bool
    behind: str
    own: bool = False
    only: str = ""
    """A condition without which a row has no place in it."""

    @property
    def sql(self) -> str:
        way = "DESC" if self.descending else "ASC"
        return ", ".join(f"{column} {way}" for column in self.by)


IMAGES = {
    "newest": Order(("uploaded_at", "image_id"), True, "newest_behind", own=True),
    "oldest": Order(("uploaded_at", "image_id"), False, "oldest_behind", own=True),
    "most-circles": Order(("circle_count", "image_id"), True, "most_circles_behind", only="detected"),
    "fewest-circles": Order(("circle_count", "image_id"), False, "fewest_circles_behind", only="detected"),
}
CIRCLES = {
    "newest": Order(("uploaded_at", "image_id", "object_id"), True, "newest_circle_behind"),
    "largest": Order(("radius", "object_id"), True, "largest_behind"),
    "smallest": Order(("radius", "object_id"), False, "smallest_behind"),
    "best": Order(("score", "object_id"), True, "best_behind"),
    "worst": Order(("score", "object_id"), False, "worst_behind"),
}
assert IMAGES["newest"].sql == NEWEST_FIRST


SHARED_KEY = """
CREATE SCHEMA IF NOT EXISTS circles;
CREATE TABLE IF NOT EXISTS circles.cursors (
    key bytea NOT NULL, one boolean PRIMARY KEY DEFAULT true CHECK (one))"""
ADD_KEY = "INSERT INTO circles.cursors (key) VALUES (%s) ON CONFLICT DO NOTHING"


class Cursors:
    """Makes and reads cursors: opaque, signed, each of one list in one order for one project."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key

    async def share(self, pool: AsyncConnectionPool) -> None:
        """Take the key that all processes of the API have in common. Raises psycopg.Error."""
        async with pool.connection() as connection, connection.transaction():  # which holds the lock
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('circles'))")
            await connection.execute(SHARED_KEY)
            await connection.execute(ADD_KEY, [secrets.token_bytes(32)])
            rows = await (await connection.execute("SELECT key FROM circles.cursors")).fetchall()
        self._key = bytes(rows[0][0])

    def after(self, row: Mapping[str, Any], order: Order, scope: str) -> str:
        """The cursor of the page behind a row."""
        return str(self._of(order, scope).dumps([_written(row[column]) for column in order.by]))

    def read(self, cursor: str, order: Order, scope: str) -> dict[str, Any]:
        """The values `k0` and so on of the row that a cursor is of. Raises Problem 400."""
        try:
            values = self._of(order, scope).loads(cursor)
        except BadSignature as error:
            raise Problem(
                400, "cursor is none that this API gave for this list in this order; take it from `next`"
            ) from error
        return {f"k{i}": _read(value) for i, value in enumerate(values)}

    def _of(self, order: Order, scope: str) -> URLSafeSerializer:
        return URLSafeSerializer(self._key, salt=f"{order.behind} {scope}")


def _written(value: Any) -> Any:
    match value:
        case datetime():
            return ["t", value.isoformat()]
        case UUID():
            return ["u", value.hex]
    return ["n", value]


def _read(written: Sequence[Any]) -> Any:
    match written:
        case ["t", moment]:
            return datetime.fromisoformat(moment)
        case ["u", id_]:
            return UUID(id_)
        case [_, number]:
            return number
    raise AssertionError("signed by us")
