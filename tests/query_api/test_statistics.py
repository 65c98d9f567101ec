"""Statistics on a real view: each against the same said in Python."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import uuid_utils.compat as uuids

from deploy.local.postgres import running_postgres
from query_api.errors import SnapshotGone
from query_api.statistics import OverTime, Radii, Scores, histogram
from query_api.view.questions import Question
from query_api.view.reading import View
from streams import lake
from streams.circles import object_ids
from streams.records import CirclesDetected, ImageFailed, ImageUploaded, Record
from streams.settings import Settings
from tests.examples import MOMENT, circles, detected, failed, promoted, uploaded
from tests.lakes import fresh
from tests.query_api.view.windows import follow, following, loaded, over
from tests.streams.small_view import put

HOUR = timedelta(hours=1)
PICK = random.Random(1)


def log() -> list[Record]:
    records: list[Record] = []
    for number in range(50):
        image_id, at = uuids.uuid7(), MOMENT + number * HOUR / 7
        records.append(
            uploaded(image_id=image_id, uploaded_at=at, source_id=PICK.choice("ab"), project_id="p")
        )
        what = PICK.random()
        if what < 0.7:
            found = circles(PICK.randrange(4))
            of = object_ids(image_id, "circles", "1", len(found))
            found["object_id"] = np.array([object_id.bytes for object_id in of], "V16")
            found["radius"] = [PICK.uniform(1, 30) for _ in found]
            found["score"] = [PICK.random() for _ in found]
            records.append(
                detected(image_id=image_id, circles=found, detected_at=at + timedelta(milliseconds=number))
            )
        elif what < 0.9:
            records.append(failed(dead_letter_id=uuids.uuid4(), image_id=image_id))
    return records


LOG = log()
IMAGES = {r.image_id: r for r in LOG if isinstance(r, ImageUploaded)}
FOUND = {r.image_id: r for r in LOG if isinstance(r, CirclesDetected)}
LOST = {r.image_id for r in LOG if isinstance(r, ImageFailed)}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("view")
    with running_postgres(folder / "postgres") as url:
        settings = fresh(url, folder)
        with lake.connect(settings, read_only=False) as writer:
            put(settings, writer, LOG, 0)
        yield settings


@pytest.fixture(scope="module", params=[None, 100, 20], ids=["lake", "window", "window of a part"])
def view(settings: Settings, request: pytest.FixtureRequest) -> View:
    return over(settings, loaded(settings, request.param) if request.param else None)


def answer(view: View, question: Question) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = asyncio.run(view.table(question)).to_pylist()
    return rows


def counted(ids: set[UUID]) -> dict[str, int]:
    return {
        "images": len(ids),
        "detected": len(ids & FOUND.keys()),
        "failed": len(ids & LOST),
        "pending": len(ids - FOUND.keys() - LOST),
        "without_circles": sum(len(FOUND[i].circles) == 0 for i in ids & FOUND.keys()),
        "circles": sum(len(FOUND[i].circles) for i in ids & FOUND.keys()),
    }


def test_all_together(view: View) -> None:
    assert answer(view, OverTime().over_time("statistics_images")) == [counted(set(IMAGES))]


def test_by_the_hour_and_source(view: View) -> None:
    groups: dict[tuple[datetime, str], set[UUID]] = {}
    for image_id, image in IMAGES.items():
        hour = image.uploaded_at.replace(minute=0, second=0, microsecond=0)
        groups.setdefault((hour, image.source_id), set()).add(image_id)
    asked = OverTime(bucket="hour", by="source").over_time("statistics_images")
    assert answer(view, asked) == [
        {"bucket": hour, "source_id": source, **counted(ids)}
        for (hour, source), ids in sorted(groups.items())
    ]


def test_of_a_time_and_a_source(view: View) -> None:
    begin, end = MOMENT + 2 * HOUR, MOMENT + 5 * HOUR
    ids = {i for i, image in IMAGES.items() if begin <= image.uploaded_at < end and image.source_id == "a"}
    asked = OverTime(since=begin, until=end, source="a").over_time("statistics_images")
    assert answer(view, asked) == [counted(ids)]


@pytest.mark.parametrize(("value", "asked"), [("radius", Radii(width=2.5)), ("score", Scores(width=0.1))])
def test_a_histogram_counts_each_circle_once(view: View, value: str, asked: Radii | Scores) -> None:
    bins = Counter(
        int(number // asked.width) for found in FOUND.values() for number in found.circles[value].tolist()
    )
    assert answer(view, histogram(asked, value, asked.width)) == [
        {
            "from_value": pytest.approx(number * asked.width),
            "to_value": pytest.approx((number + 1) * asked.width),
            "circles": count,
        }
        for number, count in sorted(bins.items())
    ]


def test_latencies_are_those_of_the_detected(view: View) -> None:
    (row,) = answer(view, OverTime().over_time("statistics_latency"))
    waited = [
        (found.detected_at - IMAGES[i].uploaded_at) / timedelta(milliseconds=1) for i, found in FOUND.items()
    ]
    assert row["images"] == len(FOUND)
    assert row["model_ms_p50"] == row["model_ms_p99"] == 8.25
    for percent in (50, 90, 99):
        expected = float(np.percentile(waited, percent))
        assert row[f"upload_to_detected_ms_p{percent}"] == pytest.approx(expected, abs=1)


def test_detections_of_replays_have_no_latency(postgres: str, tmp_path: Path) -> None:
    """Loaded, followed, and in the lake."""
    settings, images = fresh(postgres, tmp_path), [uuids.uuid7() for _ in range(6)]

    def looked(image_id: UUID, replay_id: UUID | None, latency_ms: float) -> CirclesDetected:
        more: dict[str, Any] = {"replay_id": replay_id, "latency_ms": latency_ms, "model_version": "2"}
        return detected(image_id=image_id, circles=circles(0), **more)

    with lake.connect(settings, read_only=False) as writer, following(settings) as commits:
        first = [*(uploaded(image_id=i) for i in images), promoted(model_version="2")]
        put(settings, writer, [*first, looked(images[0], None, 1), looked(images[1], UUID(int=7), 500)], 0)
        window = loaded(settings)
        put(settings, writer, [looked(images[2], None, 3), looked(images[3], UUID(int=7), 500)], 100)
        follow(commits, window)
    for view in (over(settings, window), View(settings)):
        (row,) = answer(view, OverTime().over_time("statistics_latency"))
        assert (row["images"], row["model_ms_p50"]) == (2, 2)
        (row,) = answer(view, OverTime().over_time("statistics_images"))
        assert (row["images"], row["detected"]) == (6, 4)


def test_as_of_a_snapshot_it_says_what_was_there_then(settings: Settings, view: View) -> None:
    with lake.connect(settings, read_only=True) as connection:
        now = lake.snapshot(connection)
    asked = histogram(Radii(width=2.5), "radius", 2.5)
    rows = asyncio.run(view.table(asked, now)).to_pylist()
    assert rows == answer(view, asked)
    with pytest.raises(SnapshotGone):
        asyncio.run(view.table(asked, now + 7))


@pytest.mark.parametrize("snapshot", [0, 1])
def test_as_of_a_snapshot_before_there_were_tables_it_is_gone(view: View, snapshot: int) -> None:
    with pytest.raises(SnapshotGone, match="had not all of its tables"):
        asyncio.run(view.table(histogram(Radii(width=2.5), "radius", 2.5), snapshot))


def test_of_a_project_that_has_none_there_is_nothing(view: View) -> None:
    asked = OverTime().over_time("statistics_images").within("another")
    assert answer(view, asked) == [counted(set())]
