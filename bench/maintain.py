"""Maintenance: what an hour of a commit a second leaves, run as quickly as it goes, and what it costs.

Time is short here: maintenance after each TURN commits stands for one look each ten seconds, and grace and
retention for minutes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg

from bench import events
from bench.measure import Figure, Say, median
from bench.stack import fresh_view, infrastructure
from streams import lake
from streams.commit import View
from streams.ledger import Ledger
from streams.maintenance import maintenance
from streams.settings import Settings
from streams.topics import DETECTED

COMMITS, TURN, EVENTS = 3_600, 10, 5
PART = COMMITS // 6
COUNTS = {
    "files of objects": "SELECT count(*) FROM {g}.ducklake_data_file WHERE table_id = 3",
    "files of all tables": "SELECT count(*) FROM {g}.ducklake_data_file",
    "snapshots": "SELECT count(*) FROM {g}.ducklake_snapshot",
    "rows of column statistics": "SELECT count(*) FROM {g}.ducklake_file_column_stats",
    "files that wait for their deletion": "SELECT count(*) FROM {g}.ducklake_files_scheduled_for_deletion",
    "rows of the manifest": "SELECT count(*) FROM circles.files",
}


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings:
        short = settings.model_copy(update={"file_grace_s": 15, "snapshot_retention_s": 30})
        return _hour(fresh_view(short), say)


def _hour(settings: Settings, say: Say) -> list[Figure]:
    generation = lake.create(settings)
    folder = Path(settings.lake_path, generation)
    took: list[float] = []
    turns: list[float] = []
    counts: dict[str, list[float]] = {name: [] for name in (*COUNTS, "Parquet files in the folder")}
    committed = merged = 0
    at = (DETECTED.name, 0)
    with (
        lake.connect(settings, read_only=False) as view,
        lake.catalog(settings) as catalog,
        maintenance(settings, generation) as upkeep,
    ):
        ledger = Ledger(catalog, generation)
        ledger.add({at: 0})
        writer = View(view, ledger, shared=False)
        for number in range(COMMITS):
            batch = events.batch(EVENTS)
            offset = number * EVENTS
            began = time.perf_counter()
            writer.commit(batch, {at: offset}, {at: offset + EVENTS})
            took.append(1e3 * (time.perf_counter() - began))
            if number % TURN == TURN - 1:
                committed += _newest_bytes(catalog, generation)
                _count(catalog, generation, counts)
                began = time.perf_counter()
                steps = list(upkeep.steps(settings, thorough=number % PART == PART - 1))
                turns.append(1e3 * (time.perf_counter() - began))
                merged += sum(step.size_bytes for step in steps)
            if number % PART == PART - 1:
                counts["Parquet files in the folder"].append(sum(1 for _ in folder.rglob("*.parquet")))
                say(f"{number + 1:,} commits: {counts['files of objects'][-1]:.0f} files of objects")
    return [
        *(Figure(f"{name}, most", "", max(c), min(c), max(c), len(c)) for name, c in counts.items()),
        median("a commit, the first sixth", "ms", took[:PART]),
        median("a commit, the last sixth", "ms", took[-PART:]),
        median("a turn of maintenance", "ms", turns),
        median("a turn of maintenance, the slowest", "ms", [max(turns)]),
        median("of the time", "ratio", [sum(turns) / (sum(turns) + sum(took))]),
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
