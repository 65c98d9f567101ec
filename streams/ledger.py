"""Which views there are and how far each is folded: in PostgreSQL, moved by the lake's own commits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import duckdb
import orjson
import psycopg
from psycopg.sql import SQL, Identifier

from streams.manifest import File
from streams.statements import read_statements

Offsets = dict[tuple[str, int], int]
"""Next offset to fold, by topic and partition."""

TURN_S = 0.01
"""Between looks whether it is another writer's turn."""

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


def say(view: duckdb.DuckDBPyConnection, author: str, message: str, **said: Any) -> None:
    """What the transaction under way tells the trigger in ledger.sql: its `moves` and its `files`."""
    statement = "CALL lake.set_commit_message(?, ?, extra_info => ?)"
    view.execute(statement, [author, message, orjson.dumps(said).decode()])


@dataclass(frozen=True, slots=True)
class Standing:
    """What a writer's knowledge of a generation's keys rests on: its epoch, and the partitions by topic."""

    epoch: int
    partitions: Mapping[str, int]

    def next_epoch(self) -> Standing:
        return Standing(self.epoch + 1, self.partitions)


class Ledger:
    """How far one generation is folded. The catalog's connection is in autocommit."""

    def __init__(self, catalog: psycopg.Connection[Any], generation: str) -> None:
        self._catalog, self._generation = catalog, generation
        self._writer = str(uuid4())

    def _rows(self, statement: str, *more: object) -> list[tuple[Any, ...]]:
        """Of a statement about this generation."""
        cursor = self._catalog.execute(STATEMENTS[statement], [self._generation, *more])
        return cursor.fetchall() if cursor.description else []

    def stored(self) -> Offsets:
        return {(topic, partition): offset for topic, partition, offset in self._rows("stored")}

    def first(self) -> Offsets:
        """Where each partition began: what was before is not in the view."""
        return {(topic, partition): offset for topic, partition, offset in self._rows("first")}

    def add(self, new: Offsets) -> None:
        """Where partitions begin that the view has not seen; those another added first stay as they are."""
        for (topic, partition), offset in new.items():
            self._rows("add", topic, partition, offset)

    def made_from(self, topic_ids: Mapping[str, str], partitions: Mapping[str, int]) -> dict[str, str]:
        """The ids of the topics that the view is folded from: these, where it is folded from none yet."""
        for topic, topic_id in topic_ids.items():
            self._rows("remember_topic", topic, topic_id, partitions[topic])
        return self.topics()

    def topics(self) -> dict[str, str]:
        """The ids of the topics that the view is folded from."""
        return dict(self._rows("topics"))

    def watermarks(self, topic: str) -> list[tuple[int, int, int | None]]:
        """Of each partition the next offset to fold, and the watermark known last."""
        return [(partition, end, known) for partition, end, known in self._rows("watermarks", topic)]

    def raise_watermarks(self, found: Mapping[int, int]) -> None:
        """Store watermarks by partition where they are above those that another has stored meanwhile."""
        for partition, watermark in found.items():
            self._rows("raise_watermark", partition, watermark)

    def last_commit(self) -> datetime | None:
        """When the fold changed the lake last, or at the latest."""
        statement = SQL(STATEMENTS["last_commit"]).format(generation=Identifier(self._generation))
        ((time,),) = self._catalog.execute(statement).fetchall()
        return time if isinstance(time, datetime) else None

    def begin_epoch(self) -> None:
        """Let no commit succeed that does not know of what was committed until now."""
        self._rows("begin_epoch")

    def standing(self) -> Standing:
        rows = self._rows("standing")
        return Standing(rows[0][0], {topic: count for _, topic, count in rows if topic})

    def advance(
        self,
        view: duckdb.DuckDBPyConnection,
        epoch: int,
        offsets: Offsets,
        to: Offsets,
        *,
        files: Sequence[File] | None,
        after: int | None = None,
    ) -> None:
        """Move the stored offsets, with the transaction under way where that has rows, or at once.

        files: those that the transaction wrote, for the manifest; None where it has no rows.
        The catalog compares them with `offsets` and sets them in the transaction that makes the rows
        visible, so that no writer who was replaced can add any. Unless they are at `offsets`, the epoch is
        `epoch` and nothing was committed after snapshot `after`, this raises psycopg.errors.RaiseException,
        and where there are rows the COMMIT raises duckdb.Error. A commit with `after` begins an epoch.
        """
        moves = [
            {"topic": topic, "partition": partition, "from": offsets[topic, partition], "to": offset}
            for (topic, partition), offset in to.items()
        ]
        said = {"epoch": epoch, "moves": moves} | ({} if after is None else {"after": after})
        if files is not None:
            say(view, "fold", "rows and offsets", **said, files=files)
        else:  # the lake makes no snapshot of a transaction without changes
            self._rows("advance", orjson.dumps(said).decode())

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While other writers wait with their commits, as far as they do: no more than two seconds."""
        while not self._rows("take_turn", self._writer):
            time.sleep(TURN_S)
        try:
            yield
        finally:
            self._rows("end_turn", self._writer)

    def wait_for_turns(self) -> None:
        """Return once no other writer has a turn."""
        while self._rows("turns"):
            time.sleep(TURN_S)
