"""Which views there are and how far each is folded: in PostgreSQL, moved by the lake's own commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson
import psycopg
from psycopg.sql import SQL, Identifier

from streams.statements import read_statements

Offsets = dict[tuple[str, int], int]
"""Next offset to fold, by topic and partition."""

AUTHOR = "fold"
"""Of a commit that moves offsets: what the trigger in ledger.sql looks at."""

STATEMENTS = read_statements("streams", "ledger.sql")


def create(catalog: psycopg.Connection[Any]) -> None:
    """Make the tables and functions where they are missing."""
    catalog.execute(STATEMENTS["create"])


def live(catalog: psycopg.Connection[Any]) -> str | None:
    """The generation that is read and written now; None before there is one. Raises psycopg.Error."""
    try:
        rows = catalog.execute(STATEMENTS["live"]).fetchall()
    except psycopg.errors.UndefinedTable:
        return None
    return str(rows[0][0]) if rows else None


def begin(catalog: psycopg.Connection[Any], state: str) -> str:
    """A new generation, `live` or `building`, whose lake is still to be made."""
    return str(catalog.execute(STATEMENTS["begin"], [state]).fetchall()[0][0])


def fence(catalog: psycopg.Connection[Any], generation: str) -> None:
    """Let only those commit to a generation's lake who move its offsets from where they are."""
    statement = SQL(STATEMENTS["fence"]).format(generation=Identifier(generation))
    catalog.execute(statement)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The stored offsets of one generation. The catalog's connection is in autocommit."""

    catalog: psycopg.Connection[Any]
    generation: str

    def stored(self) -> Offsets:
        rows = self.catalog.execute(STATEMENTS["stored"], [self.generation]).fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def add(self, new: Offsets) -> None:
        """Where partitions begin that the view has not seen; those another added first stay as they are."""
        with self.catalog.cursor() as cursor:
            rows = [(self.generation, *at, offset) for at, offset in new.items()]
            cursor.executemany(STATEMENTS["add"], rows)

    def made_from(self, topic_ids: Mapping[str, str]) -> dict[str, str]:
        """The ids of the topics that the view is folded from: these, where it is folded from none yet."""
        with self.catalog.cursor() as cursor:
            rows = [(self.generation, *topic) for topic in topic_ids.items()]
            cursor.executemany(STATEMENTS["remember_topic"], rows)
            return dict(cursor.execute(STATEMENTS["topics"], [self.generation]).fetchall())

    def advance(self, view: duckdb.DuckDBPyConnection, offsets: Offsets, to: Offsets, *, rows: bool) -> None:
        """Move the stored offsets, with the transaction under way where that has rows, or at once.

        The catalog compares them with `offsets` and sets them in the transaction that makes the rows
        visible, so that no writer who was replaced can add any. Unless they are at `offsets`, this raises
        psycopg.errors.RaiseException, and where there are rows the COMMIT raises duckdb.Error.
        """
        moves = [
            {"topic": topic, "partition": partition, "from": offsets[topic, partition], "to": offset}
            for (topic, partition), offset in to.items()
        ]
        said = orjson.dumps({"moves": moves}).decode()
        if rows:
            message = "CALL lake.set_commit_message(?, 'rows and offsets', extra_info => ?)"
            view.execute(message, [AUTHOR, said])
        else:  # the lake makes no snapshot of a transaction without changes
            self.catalog.execute(STATEMENTS["advance"], [self.generation, said])
