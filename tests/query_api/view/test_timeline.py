"""What is read while images come, are detected and leave is whole at every moment."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import orjson
import pyarrow as pa

from query_api.view.counting import counts
from query_api.view.pages import page
from query_api.view.questions import Question
from query_api.view.timeline import EPOCH, MICROSECOND, Timeline

BEGIN = datetime.min.replace(tzinfo=EPOCH.tzinfo)
PACKED = orjson.dumps(["file:///x", "a" * 64, "image/png", 1, 1, 1, None, "{}"]).decode()
BATCH, KEPT = 50, 1_000


def uuids(numbers: list[int]) -> pa.ChunkedArray:
    storage = pa.array([UUID(int=number).bytes for number in numbers], pa.binary(16))
    return pa.chunked_array([pa.ExtensionArray.from_storage(pa.uuid(), storage)])


def uploads(numbers: list[int], times: list[int]) -> pa.Table:
    words = {name: pa.array([f"{name} {n % 7}" for n in numbers]) for name in ("project_id", "source_id")}
    packed = pa.array([PACKED] * len(numbers))
    return pa.table({"image_id": uuids(numbers), "uploaded": pa.array(times), **words, "packed": packed})


def detections(numbers: list[int], version: str) -> pa.Table:
    many = len(numbers)
    return pa.table({
        "image_id": uuids(numbers), "model_name": ["circles"] * many, "model_version": [version] * many,
        "circle_count": pa.array([n % 3 for n in numbers], pa.int32()),
        "latency_ms": pa.array([1.0] * many, pa.float32()),
        "detected_at": pa.array([EPOCH] * many, pa.timestamp("us", "UTC")),
    })  # fmt: skip


def circles(numbers: list[int]) -> pa.Table:
    of = [n for n in numbers for _ in range(n % 3)]
    radii = pa.array([n % 3 for n in of], pa.float32())
    return pa.table({"image_id": uuids(of), "radius": radii, "score": radii})


@contextmanager
def changing(timeline: Timeline) -> Iterator[tuple[threading.Thread, list[int]]]:
    """A thread that lets images come, some late, has them looked at again and again; and those that left."""
    over, pick, left = threading.Event(), random.Random(1), list[int]()

    def change() -> None:
        there: list[int] = []
        for first in range(1, 1_000_000, BATCH):
            if over.is_set():
                return
            came = list(range(first, first + BATCH))
            timeline.add(uploads(came, [n - pick.choice([0, 0, 0, 300]) for n in came]))
            there += came
            for version in ("1", "2"):
                looked_at = pick.sample(there, min(len(there), 2 * BATCH))
                timeline.detected(detections(looked_at, version), circles(looked_at))
            if len(there) > KEPT:
                gone, there = there[: KEPT // 2], there[KEPT // 2 :]
                timeline.drop(UUID(int=n).bytes for n in gone)
                left.extend(gone)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield thread, left
    finally:
        over.set()
        thread.join()


def test_what_is_read_meanwhile_is_whole() -> None:
    timeline, pages, told = Timeline(), 0, 0
    newest = Question("images", outcome=("min_circles",), values={"min_circles": 1}, count=100)
    by_source = Question("statistics_images", by=("source_id",), order="")
    bins = Question("statistics_histogram", values={"width": 1.0}, parts={"value": "radius"}, order="")
    with changing(timeline) as (thread, left):
        while min(pages, told) < 100 or len(left) < 5 * KEPT:
            assert thread.is_alive()
            rows = page(timeline, newest, BEGIN)
            assert rows is not None
            order = [(row["uploaded_at"], row["image_id"]) for row in rows]
            assert order == sorted(order, reverse=True)
            for row in rows:
                number = row["image_id"].int
                assert row["circle_count"] == number % 3 > 0
                assert row["source_id"] == f"source_id {number % 7}" and row["model_name"] == "circles"
                assert row["uploaded_at"] - EPOCH in (number * MICROSECOND, (number - 300) * MICROSECOND)
            pages += len(rows) == 100
            groups = counts(timeline, by_source, BEGIN) or []
            assert all(group["images"] == group["detected"] + group["pending"] for group in groups)
            assert len(groups) in (0, 7)
            # A circle's radius is how many its image has: 1 of those with one, 2 of both with two.
            found = {each["from_value"]: each["circles"] for each in counts(timeline, bins, BEGIN) or []}
            assert found.keys() <= {1.0, 2.0} and found.get(2.0, 0) % 2 == 0
            told += len(found) == 2
    assert len(timeline) <= KEPT + BATCH
