"""Whether two views are equal, and how they differ: counts and checksums, then images where these differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import duckdb

from streams.lake import without_password
from streams.statements import read_statements

STATEMENTS = read_statements("streams", "compare.sql")
PLACES = frozenset({"log_partition", "log_offset", "source_partition", "source_offset"})
"""Columns that may differ between equal views: of an image whose copies came on several partitions, which
copy is first depends on how the partitions were read beside each other."""


class Sum(NamedTuple):
    """Of a table, or a part of it: its rows, and the sum of their hashes, modulo 2^64."""

    rows: int
    checksum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a table of the live view differs from the fresh one."""

    missing: int = 0
    """Rows that only the fresh view has."""
    extra: int = 0
    """Rows that only the live view has."""
    other: int = 0
    """Images whose rows are as many, but not the same."""
    columns: tuple[str, ...] = ()
    """What differs in these."""
    examples: tuple[UUID, ...] = ()
    elsewhere: int = 0
    """Images that differ in nothing but the place on the log that they were first read from."""
    unreadable: str = ""
    """Why the live view's table cannot be read."""

    @property
    def harmless(self) -> bool:
        return not (self.missing or self.extra or self.other or self.unreadable)

    def __str__(self) -> str:
        said = []
        if self.unreadable:
            said.append(f"the live view's cannot be read: {self.unreadable}")
        if self.missing:
            said.append(f"the live view lacks {self.missing:,} rows")
        if self.extra:
            said.append(f"the live view has {self.extra:,} rows that the log does not give")
        if self.other:
            where = f" ({', '.join(self.columns)})" if self.columns else ""
            said.append(f"the rows of {self.other:,} images differ{where}")
        if self.examples:
            said.append("such as image " + ", ".join(map(str, self.examples)))
        if self.elsewhere:
            said.append(f"{self.elsewhere:,} images were first read from another of their copies on the log")
        return "; ".join(said)


@dataclass(frozen=True, slots=True)
class Compared:
    """A table in both views; `live` is None where it cannot be read, `difference` where they are equal."""

    table: str
    live: Sum | None
    fresh: Sum
    difference: Difference | None


def compare(
    connection: duckdb.DuckDBPyConnection, live: str, fresh: str, live_at: int | None = None
) -> list[Compared]:
    """Each table of the fresh view beside that of the live one, both attached under these names.

    live_at: the snapshot at which the live view is read. Columns and tables that a version of the code
    added are left out where only one view has them. Raises duckdb.Error when the fresh view cannot be read.
    """
    then = "" if live_at is None else f" AT (VERSION => {live_at})"
    before, now = _columns(connection, live), _columns(connection, fresh)
    return [
        _compared(
            connection,
            table,
            f"{live}.{table}{then}",
            f"{fresh}.{table}",
            [column for column in columns if column in before[table]],
        )
        for table, columns in now.items()
        if table in before
    ]


def _compared(
    connection: duckdb.DuckDBPyConnection, table: str, live: str, fresh: str, columns: Sequence[str]
) -> Compared:
    now = _checksums(connection, fresh, columns)
    try:
        before = _checksums(connection, live, columns)
        parts = [part for part in before.keys() | now.keys() if before.get(part) != now.get(part)]
        difference = _apart(connection, live, fresh, columns, parts) if parts else None
    except duckdb.Error as error:  # damage is one reason to rebuild
        why = without_password(str(error)).partition("\n")[0]
        return Compared(table, None, _total(now), Difference(unreadable=why))
    return Compared(table, _total(before), _total(now), difference)


def _checksums(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]
) -> dict[int, Sum]:
    """By part."""
    statement = STATEMENTS["checksums"].format(relation=relation, **_lists(columns))
    return {part: Sum(rows, checksum) for part, rows, checksum in connection.execute(statement).fetchall()}


def _total(parts: dict[int, Sum]) -> Sum:
    return Sum(
        sum(part.rows for part in parts.values()), sum(part.checksum for part in parts.values()) % 2**64
    )


def _apart(
    connection: duckdb.DuckDBPyConnection, live: str, fresh: str, columns: Sequence[str], parts: list[int]
) -> Difference:
    statement = STATEMENTS["apart"].format(live=live, fresh=fresh, **_lists(columns))
    only_places = set(columns) <= PLACES | {"image_id"}
    given = {"parts": parts, "columns": list(columns), "only_places": only_places}
    ((missing, extra, other, elsewhere, apart, examples),) = connection.execute(statement, given).fetchall()
    differing = {name for names in apart or () for name in names}
    return Difference(
        missing=missing,
        extra=extra,
        other=other,
        elsewhere=elsewhere,
        columns=tuple(name for name in columns if name in differing),
        examples=tuple(examples or ()),
    )


def _columns(connection: duckdb.DuckDBPyConnection, view: str) -> dict[str, list[str]]:
    """Of each table."""
    return dict(connection.execute(STATEMENTS["columns"], {"view": view}).fetchall())


def _lists(columns: Sequence[str]) -> dict[str, str]:
    """What the statements name: the columns, those that are no place, and the sum of each one's hashes."""
    return {
        "image_id": "image_id" if "image_id" in columns else "NULL::UUID",
        "columns": ", ".join(columns),
        "said": ", ".join(column for column in columns if column not in PLACES) or "NULL",
        "sums": ", ".join(f"sum(hash({column}))" for column in columns),
    }
