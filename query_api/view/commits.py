"""What the fold commits, one commit after another: the rows that it adds, and how far that brings the view.

A commit of the fold says in the catalog which files it made (streams/ledger.sql).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import orjson
import psycopg
import pyarrow as pa
from psycopg.sql import SQL, Identifier

from query_api.view.rows import COLUMNS, TOLD, Gone, Rows
from streams import lake
from streams.settings import Settings
from streams.statements import read_statements
from streams.topics import ANNOTATED, UPLOADED

STATEMENTS = read_statements("query_api", "view/commits.sql")
MOST_COMMITS = 64
"""Read at once: the bound on memory when there is much to catch up with."""
_INSERTED = re.compile(r"(inserted_into_table|inlined_insert):(\d+)")
_HARMLESS = re.compile(r"(merge_adjacent|inline_flush|created_(table|schema)|flushed_inlined)\b.*")
Position = Mapping[int, int]
"""An offset by partition, of `images.uploaded` unless something else is said."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The catalog at one moment. commits: snapshot, changes, and what the commit said, of those unseen.

    annotated: how far annotations are folded, which are in no window: they are read from the lake as it is.
    """

    live: str
    snapshot: int
    folded: Position
    annotated: Position
    watermarks: Position
    commits: Sequence[tuple[int, str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Delta:
    """Rows that commits added, by table, and the snapshot and the positions that they lead to.

    snapshots: that of each row of the tables in TOLD.
    """

    snapshot: int
    folded: Position
    tables: Mapping[str, pa.Table]
    snapshots: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def of_uploads(self) -> pa.Table | None:
        """The detections that are no replay's."""
        found = self.tables.get("detections")
        return None if found is None else found.filter(found["replay_id"].is_null())


class Commits:
    """Of one generation, on two connections of its own, which nobody else uses meanwhile."""

    def __init__(
        self,
        settings: Settings,
        generation: str,
        catalog: psycopg.Connection[Any],
        view: duckdb.DuckDBPyConnection,
    ) -> None:
        self.generation = generation
        self._catalog, self._place = catalog, lake.place(settings, generation)
        self._tables = dict(catalog.execute(self._of("tables")).fetchall())
        self._rows = Rows(generation, catalog, view)

    def standing(self, after: int) -> Standing:
        """The catalog now, with at most MOST_COMMITS commits after a snapshot. Raises psycopg.Error."""
        wanted = {
            "generation": self.generation, "uploaded": UPLOADED.name, "annotated": ANNOTATED.name,
            "after": after, "most": MOST_COMMITS,
        }  # fmt: skip
        rows = self._catalog.execute(self._of("standing"), wanted).fetchall()
        live, snapshot, folded, annotated, watermarks, commits = rows[0]
        return Standing(
            live,
            snapshot,
            _position(folded),
            _position(annotated),
            _position(watermarks),
            [(number, changes, orjson.loads(said or "{}")) for number, changes, said in commits or ()],
        )

    def outcomes(self, standing: Standing, since: datetime) -> Delta:
        """The detections and failures since a time that the newest snapshot has. Raises duckdb.Error."""
        found = {
            table: self._rows.read(
                f"SELECT {COLUMNS[table]} FROM lake.{table} AT (VERSION => {standing.snapshot:d})"  # noqa: S608
                f" WHERE {at} >= $since",
                {"since": since},
            )
            for table, at in (("detections", "detected_at"), ("failures", "failed_at"))
        }
        return Delta(standing.snapshot, standing.folded, found)

    def added(
        self,
        after: int,
        folded: Position,
        standing: Standing,
        tables: Sequence[str] = tuple(COLUMNS),
        messages: int | None = None,
    ) -> Delta:
        """What the next commits after a snapshot added to some tables, at most MOST_COMMITS of them.

        folded: where the snapshot `after` was. messages: no more commits than were made of so many, but one
        at least. Raises Gone, duckdb.Error.
        """
        if len(standing.commits) != min(standing.snapshot - after, MOST_COMMITS):
            raise Gone(f"the commits after {after} are no longer kept")
        commits = standing.commits if messages is None else _of_at_most(standing.commits, messages)
        until = commits[-1][0] if commits else after
        files: dict[str, dict[str, int]] = {}
        kept, elsewhere = set[str](), set[str]()
        for number, changes, said in commits:
            folded = {**folded, **_moved(said)}
            made = _by_table(said)
            for kind, table in self._changed(changes):
                if kind == "inlined_insert":
                    kept.add(table)
                elif table in made:
                    paths = (f"{self._place}/{path}" for path in made[table])
                    files.setdefault(table, {}).update(dict.fromkeys(paths, number))
                else:
                    elsewhere.add(table)
        # Offsets move without a commit, too, where there were no rows.
        folded = standing.folded if until == standing.snapshot else folded
        found = {}
        for table in set(tables) & (files.keys() | kept | elsewhere):
            its = None if table in elsewhere else files.get(table, {})
            rows = self._rows.added(table, its, table in kept, after + 1, until)
            if rows.num_rows:
                found[table] = rows
        snapshots = {table: found[table]["snapshot"].to_pylist() for table in TOLD if table in found}
        found = {name: rows.drop_columns("snapshot") for name, rows in found.items()}
        return Delta(until, folded, found, snapshots)

    def _changed(self, changes: str) -> set[tuple[str, str]]:
        """How which tables got rows. Raises Gone for a change that is no addition."""
        tables = set()
        for change in changes.split(",") if changes else ():
            if match := _INSERTED.fullmatch(change):
                tables.add((match[1], self._tables[int(match[2])]))
            elif not _HARMLESS.fullmatch(change):
                raise Gone(f"the lake was changed by {change}")
        return tables

    def _of(self, statement: str) -> Any:
        return SQL(STATEMENTS[statement]).format(generation=Identifier(self.generation))


def _of_at_most(
    commits: Sequence[tuple[int, str, Mapping[str, Any]]], messages: int
) -> Sequence[tuple[int, str, Mapping[str, Any]]]:
    """The first commits that were made of so many messages together; the first one always."""
    count = 0
    for taken, (*_, said) in enumerate(commits):
        count += sum(move["to"] - move["from"] for move in said.get("moves", ()))
        if taken and count > messages:
            return commits[:taken]
    return commits


def _position(found: Mapping[str, int] | None) -> dict[int, int]:
    return {int(partition): offset for partition, offset in (found or {}).items()}


def _moved(said: Mapping[str, Any]) -> dict[int, int]:
    moves = said.get("moves", ())
    return {move["partition"]: move["to"] for move in moves if move["topic"] == UPLOADED.name}


def _by_table(said: Mapping[str, Any]) -> dict[str, list[str]]:
    """The paths of a commit's files by table; a path is `main/<table>/<file>`."""
    made: dict[str, list[str]] = {}
    for file in said.get("files") or ():
        made.setdefault(file["path"].split("/")[-2], []).append(file["path"])
    return made
