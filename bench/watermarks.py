"""Watermarks: milliseconds to ask for those of a view of a million images and of five, made-up rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import duckdb

from bench.measure import Figure, Say, interleaved, median, ratio
from bench.stack import fresh_view, infrastructure
from streams import lake
from streams.settings import Settings
from streams.topics import UPLOADED
from streams.watermarks import moved

SIZES = (1_000_000, 5_000_000)
BACKLOG = 240_000
"""Uploads at the end without an outcome."""
PARTITIONS = 12
CHUNK = 240_000
ROUNDS = 5
NOTHING = "a query of an empty table"
ROWS = """
CREATE OR REPLACE TEMP TABLE made AS
SELECT i, (i % $partitions)::INTEGER AS log_partition, (i // $partitions)::BIGINT AS log_offset,
       make_timestamptz((1760000000000 + i // 2) * 1000) AS made_at,
       (lpad(printf('%x', 1760000000000 + i // 2), 12, '0') || '7' || md5(i::VARCHAR)[:3] || '8'
        || md5(i::VARCHAR)[4:18])::UUID AS image_id
FROM range($begin, $end) AS t(i)"""
IMAGES = """
INSERT INTO lake.images BY NAME
SELECT image_id, 'default' AS project_id, 'camera-' || i % 50 AS source_id, 'image/jpeg' AS content_type,
       'file:///data/objects/' || image_id || '.jpg' AS uri,
       md5(i::VARCHAR) || md5(image_id::VARCHAR) AS sha256, 640 AS width,
       480 AS height, 100_000 + i % 5_000 AS size_bytes, made_at AS uploaded_at,
       '{}' AS attributes, log_partition, log_offset
FROM made"""
# One of a hundred failed; one upload half-way has no outcome at all.
DETECTIONS = """
INSERT INTO lake.detections BY NAME
SELECT image_id, 'default' AS project_id, 'circles' AS model_name, '2' AS model_version, 10 AS circle_count,
       10.5 AS latency_ms, made_at AS detected_at, log_partition AS source_partition,
       log_offset AS source_offset
FROM made WHERE i % 100 <> 7 AND i <> $stuck AND i < $resolved"""
FAILURES = """
INSERT INTO lake.failures BY NAME
SELECT uuid() AS dead_letter_id, image_id, 'default' AS project_id, 'detect' AS stage,
       'ObjectUnreadable' AS "error", 'it does not exist' AS reason, $topic AS source_topic,
       log_partition AS source_partition, log_offset AS source_offset, made_at AS failed_at
FROM made WHERE i % 100 = 7 AND i < $resolved"""


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings, ExitStack() as stack:
        cases: dict[str, Callable[[], float]] = {}
        for size in SIZES:
            view = stack.enter_context(filled(fresh_view(settings), size, say))
            cases |= {
                f"{size // 1_000_000}M images, {name}": case for name, case in asked(view, size).items()
            }
        for case in cases.values():
            case()
        found = interleaved(ROUNDS, cases, say)
    figures = [median(name, "ms", rounds) for name, rounds in found.items()]
    small, large = (f"{size // 1_000_000}M images, " for size in SIZES)
    names = [name.removeprefix(large) for name in found if name.startswith(large)]
    return figures + [ratio(large + n, found[large + n], found[small + n], small + n) for n in names]


def filled(settings: Settings, size: int, say: Say) -> duckdb.DuckDBPyConnection:
    """A view of so many images with outcomes, and BACKLOG without."""
    lake.create(settings)
    view = lake.connect(settings, read_only=False)
    for begin in range(0, size + BACKLOG, CHUNK):
        say(f"{begin:,} of {size + BACKLOG:,} images")
        end = min(begin + CHUNK, size + BACKLOG)
        view.execute(ROWS, {"partitions": PARTITIONS, "begin": begin, "end": end})
        view.execute(IMAGES)
        view.execute(DETECTIONS, {"stuck": size // 2, "resolved": size})
        view.execute(FAILURES, {"topic": UPLOADED.name, "resolved": size})
    return view


def asked(view: duckdb.DuckDBPyConnection, size: int) -> dict[str, Callable[[], float]]:
    """Ask with the watermark known last so far behind, by name; the values give milliseconds."""
    everywhere = range(PARTITIONS)
    done, end, middle = (count // PARTITIONS for count in (size, size + BACKLOG, size // 2))

    def ask(known: dict[int, int], until: int, unresolved: int) -> float:
        began = time.perf_counter()
        found: dict[int, int] = {}
        for moves in moved(view, known, dict.fromkeys(everywhere, until)):
            found |= moves
        took = time.perf_counter() - began
        assert sum(at < until for at in found.values()) == unresolved, found
        return 1000 * took

    def since(count: int, until: int, unresolved: int) -> Callable[[], float]:
        return partial(ask, dict.fromkeys(everywhere, done - count // PARTITIONS), until, unresolved)

    def nothing() -> float:
        began = time.perf_counter()
        view.execute("SELECT image_id FROM lake.unlisted").fetchall()
        return 1000 * (time.perf_counter() - began)

    return {
        NOTHING: nothing,
        "500 since": since(500, done, 0),
        "50,000 since": since(50_000, done, 0),
        "400,000 since": since(400_000, done, 0),
        f"before a backlog of {BACKLOG:,}": since(0, end, PARTITIONS),
        "one stuck half-way": partial(
            ask, dict.fromkeys(everywhere, done) | {size // 2 % PARTITIONS: middle}, done, 1
        ),
    }
