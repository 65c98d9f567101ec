"""What the view's size costs: events a second and the time of a commit at 100 million objects and at one."""

from __future__ import annotations

import itertools
import statistics
import time
from functools import partial
from typing import NamedTuple

import duckdb

from bench import events
from bench.fold import SLOWEST_S
from bench.measure import Figure, Say, median, ratio
from bench.stack import fresh_view, infrastructure, processes, produce_encoded
from streams import lake
from streams.ledger import Ledger
from streams.settings import Settings
from streams.topics import DETECTED

SMALL, LARGE = 1_000_000, 100_000_000
"""Objects in the view."""
EVENTS = 400_000
ROUNDS = 8
BLOCK = 500_000
# As the fold would have left it: ids in the order of time.
HISTORY = """
CREATE OR REPLACE TEMP TABLE block AS SELECT uuidv7() AS image_id FROM range($block);
INSERT INTO lake.detections BY NAME
SELECT image_id, '' AS project_id, 'circles' AS model_name, '1' AS model_version, 10 AS circle_count,
       10 AS latency_ms, now() AS detected_at, 0 AS source_partition, 0 AS source_offset FROM block;
INSERT INTO lake.objects BY NAME
SELECT image_id, uuid() AS object_id, 'circles' AS model_name, '1' AS model_version, random() AS x,
       random() AS y, random() AS radius, random() AS score, random() AS x_min, random() AS y_min,
       random() AS x_max, random() AS y_max
FROM block, range(10) ORDER BY image_id;
"""
COMMIT_TIMES = """
SELECT epoch(snapshot_time) FROM lake.snapshots()
WHERE author = 'fold' AND snapshot_id > $before ORDER BY snapshot_id"""


class Passed(NamedTuple):
    events_per_s: float
    commit_ms: float


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings:
        views = {f"{size:,} objects": (size, fresh_view(settings)) for size in (SMALL, LARGE)}
        for name, (size, view) in views.items():
            say(f"making a view of {name}")
            fill(view, size // events.CIRCLES)
        cases = {name: partial(fold, view) for name, (_, view) in views.items()}
        found: dict[str, list[Passed]] = {name: [] for name in cases}
        for number in range(ROUNDS):
            produce_encoded(settings, DETECTED, events.encoded(EVENTS))
            say(f"{EVENTS:,} events more")
            for name in list(cases) if number % 2 == 0 else list(cases)[::-1]:
                say(f"round {number + 1} of {ROUNDS}: {name}")
                found[name].append(cases[name]())
    figures = []
    for name, passed in found.items():
        figures.append(median(name, "events/s", [each.events_per_s for each in passed]))
        commit = f"{name}: a commit of {settings.fold_batch_size:,} events"
        figures.append(median(commit, "ms", [each.commit_ms for each in passed]))
    small, large = ([p.events_per_s for p in passed] for passed in found.values())
    names = list(found)
    figures.append(ratio(names[1], large, small, f"events/s at {names[0]}"))
    small, large = ([p.commit_ms for p in passed] for passed in found.values())
    figures.append(ratio(names[1], large, small, f"time of a commit at {names[0]}"))
    return figures


def fill(settings: Settings, count: int) -> None:
    """So many detections of ten circles, as if they had been folded before."""
    lake.create(settings)
    with lake.connect(settings, read_only=False) as view:
        for begin in range(0, count, BLOCK):
            for statement in HISTORY.split(";\n")[:-1]:
                block = {"block": min(BLOCK, count - begin)} if "$block" in statement else {}
                view.execute(statement, block)


def fold(settings: Settings) -> Passed:
    """A materializer in its process, over what was put on the log since it was run last."""
    with lake.connect(settings, read_only=True) as view, lake.catalog(settings) as catalog:
        ledger, before = Ledger(catalog, lake.live(settings)), lake.snapshot(view)
        at = sum(ledger.stored().values())
        with processes(settings, "materializer"):
            began = (settings.data_dir / "materializer.ready").stat().st_mtime
            while sum(ledger.stored().values()) < at + EVENTS:
                assert time.time() - began < SLOWEST_S, "the events were not folded in time"
                time.sleep(0.01)
            took = time.time() - began
        return Passed(EVENTS / took, 1000 * statistics.median(_between(view, before)))


def _between(view: duckdb.DuckDBPyConnection, before: int) -> list[float]:
    """Seconds from each commit to the next, without those at the begin, which are smaller."""
    times = [row[0] for row in view.execute(COMMIT_TIMES, {"before": before}).fetchall()]
    return [b - a for a, b in itertools.pairwise(times)][2:]
