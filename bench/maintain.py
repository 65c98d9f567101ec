"""Maintenance: what an hour of a commit a second leaves, run as quickly as it goes, and what it costs.

Time is short here: maintenance after each TURN commits stands for one look each ten seconds, and grace and
retention for minutes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from bench import events
from bench.measure import Figure, Say, interleaved, median, ratio
from bench.stack import fresh_view, infrastructure
from streams import lake
from streams.commit import View
from streams.ledger import Ledger
from streams.maintenance import maintenance
from streams.settings import Settings
from streams.topics import DETECTED

COMMITS, TURN, EVENTS = 3_600, 10, 5
PART = COMMITS // 6
ROUNDS = 9
AT = (DETECTED.name, 0)
IN_THE_FOLDER = "Parquet files in the folder"
COUNTS = {
    "files of objects": "SELECT count(*) FROM {g}.ducklake_data_file WHERE table_id = 3",
    "files of all tables": "SELECT count(*) FROM {g}.ducklake_data_file",
    "snapshots": "SELECT count(*) FROM {g}.ducklake_snapshot",
    "rows of column statistics": "SELECT count(*) FROM {g}.ducklake_file_column_stats",
    "files that wait for their deletion": "SELECT count(*) FROM {g}.ducklake_files_scheduled_for_deletion",
    "rows of the manifest": "SELECT count(*) FROM circles.files",
}


class Writer:
    """Commits detections to a view, a few at a time, and times it."""

    def __init__(self, view: duckdb.DuckDBPyConnection, ledger: Ledger) -> None:
        self._view, self._offset = View(view, ledger, shared=False), 0
        ledger.add({AT: 0})

    def commit(self) -> float:
        """How long it took, in milliseconds."""
        batch = events.batch(EVENTS)
        before, self._offset = self._offset, self._offset + EVENTS
        began = time.perf_counter()
        self._view.commit(batch, {AT: before}, {AT: self._offset})
        return 1e3 * (time.perf_counter() - began)


@contextmanager
def writer(settings: Settings) -> Iterator[Writer]:
    """Of a view that is empty at first."""
    generation = lake.create(settings)
    with lake.connect(settings, read_only=False) as view, lake.catalog(settings) as catalog:
        yield Writer(view, Ledger(catalog, generation))


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings:
        short = settings.model_copy(update={"file_grace_s": 15, "snapshot_retention_s": 30})
        aged, empty = fresh_view(short), fresh_view(short)
        with writer(aged) as ours, writer(empty) as new:
            figures = _hour(aged, ours, say)
            say("in turn with a view that is empty")
            rounds = interleaved(
                ROUNDS, {"aged": partial(_several, ours), "empty": partial(_several, new)}, say
            )
    after = ratio("a commit after the hour", rounds["aged"], rounds["empty"], "one to an empty view")
    return [*figures, after]


def _several(writer: Writer) -> float:
    return statistics.median(writer.commit() for _ in range(20))


def _hour(settings: Settings, ours: Writer, say: Say) -> list[Figure]:
    generation = lake.live(settings)
    folder = Path(settings.lake_path, generation)
    took: list[float] = []
    turns: list[float] = []
    counts: dict[str, list[float]] = {name: [] for name in (*COUNTS, IN_THE_FOLDER)}
    committed = merged = 0
    with maintenance(settings, generation) as upkeep:
        for number in range(1, COMMITS + 1):
            took.append(ours.commit())
            if number % TURN == 0:
                committed += _newest_bytes(upkeep.catalog, generation)
                _count(upkeep.catalog, generation, counts)
                began = time.perf_counter()
                steps = list(upkeep.steps(settings, thorough=number % PART == 0))
                turns.append(1e3 * (time.perf_counter() - began))
                merged += sum(step.size_bytes for step in steps)
            if number % PART == 0:
                counts[IN_THE_FOLDER].append(sum(1 for _ in folder.rglob("*.parquet")))
                say(f"{number:,} commits: {counts['files of objects'][-1]:.0f} files of objects")
    return [
        *(Figure(f"{name}, most", "", max(c), min(c), max(c), len(c)) for name, c in counts.items()),
        median("a commit", "ms", took),
        median("a turn of maintenance", "ms", turns),
        median("its share of the time", "ratio", [sum(turns) / (sum(turns) + sum(took))]),
        median("bytes merged for each committed", "ratio", [merged / committed]),
    ]


def _count(catalog: psycopg.Connection[Any], generation: str, counts: dict[str, list[float]]) -> None:
    for name, sql in COUNTS.items():
        ((count,),) = catalog.execute(sql.format(g=generation).encode()).fetchall()
        counts[name].append(count)


def _newest_bytes(catalog: psycopg.Connection[Any], generation: str) -> int:
    """Of the files that commits made since the last turn: those with rows of one snapshot only."""
    sql = f"""SELECT coalesce(sum(file_size_bytes), 0)::bigint FROM {generation}.ducklake_data_file
              WHERE partial_max IS NULL AND begin_snapshot IN (
                  SELECT snapshot_id FROM {generation}.ducklake_snapshot_changes WHERE author = 'fold'
                  ORDER BY snapshot_id DESC LIMIT {TURN})"""  # noqa: S608 our names
    ((size,),) = catalog.execute(sql.encode()).fetchall()
    return int(size)
