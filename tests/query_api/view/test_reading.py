"""What a read of the view ends with when it cannot be made."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import pytest
from pydantic import SecretStr

from query_api.errors import SnapshotGone, TooLong, ViewUnavailable
from query_api.view.lake_reading import LakeReading
from query_api.view.questions import Question
from query_api.view.reading import View
from streams import lake
from streams.circles import object_ids
from streams.records import CirclesDetected
from streams.settings import Settings
from tests.examples import MOMENT, circles, detected, uploaded
from tests.lakes import fresh
from tests.query_api.view.windows import loaded, over
from tests.streams.small_view import put


def test_a_store_that_refuses_makes_the_view_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hidden")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    view = View(Settings(catalog_url=SecretStr("postgresql://127.0.0.1:1/x"), lake_url="s3://bucket"))
    with pytest.raises(ViewUnavailable, match="catalog or file store does not answer"):
        asyncio.run(view.lake_rows("folded"))


def add_images(settings: Settings, count: int) -> int:
    """The snapshot that has them."""
    with lake.connect(settings, read_only=False) as connection:
        connection.execute(
            "INSERT INTO lake.images BY NAME"
            " SELECT uuid() AS image_id, now() AS uploaded_at, 'p' AS project_id FROM range($count)",
            {"count": count},
        )
        return lake.snapshot(connection)


def test_what_is_asked_of_the_lake_is_as_of_what_was_seen(postgres: str, tmp_path: Path) -> None:
    settings = fresh(postgres, tmp_path)
    view, question = View(settings), Question("images")
    seen = add_images(settings, 1)
    view.saw(lake.live(settings), seen, {})
    later = add_images(settings, 2)

    def count(snapshot: int | None = None) -> int:
        return len(asyncio.run(view.rows(question, snapshot)))

    assert count() == 1
    assert count(later) == 3
    view.saw("lake_99", later, {})  # which was dropped
    assert count() == 3
    with pytest.raises(SnapshotGone):
        count(later)


def test_a_generation_that_is_dropped_meanwhile_leads_to_the_live_one(postgres: str, tmp_path: Path) -> None:
    """DuckLake then raises an error of no kind."""
    settings = fresh(postgres, tmp_path)
    seen, asked = add_images(settings, 1), []

    def text(snapshot: int | None) -> str:
        asked.append(snapshot)
        if snapshot is not None:
            raise duckdb.Error("Failed to query snapshot: relation does not exist")
        return "SELECT count(*) FROM lake.images"

    reading = LakeReading(settings)
    found = reading.near((lake.live(settings), seen), text, {}, lambda result: result.fetchall())
    assert (found, asked) == ([(1,)], [seen, seen, None])
    with pytest.raises(duckdb.BinderException):  # that is the question's fault
        reading.newest("SELECT nothing FROM lake.images", {}, lambda result: result.fetchall())


def test_a_question_to_the_lake_that_takes_long_is_stopped(postgres: str, tmp_path: Path) -> None:
    settings = fresh(postgres, tmp_path)
    add_images(settings, 20_000)
    question = Question("images")
    assert len(asyncio.run(View(settings).rows(question))) == 20_000
    with pytest.raises(TooLong, match=r"longer than 0\.005 s"):
        asyncio.run(View(settings.model_copy(update={"read_timeout_s": 0.005})).rows(question))


def test_circles_are_of_the_detection_that_is_asked_for(postgres: str, tmp_path: Path) -> None:
    """As a row of the image has it that was read before another version was served."""
    settings, image_id = fresh(postgres, tmp_path), UUID(int=1 << 64)
    with lake.connect(settings, read_only=False) as connection:
        records = [uploaded(image_id=image_id), looked(image_id, "1", 2), looked(image_id, "2", 3)]
        seen = put(settings, connection, records, 0)
    for window in (loaded(settings), None):
        view = over(settings, window)
        view.saw(lake.live(settings), seen, {})
        for model, count in ((None, 3), (("circles", "1"), 2), (("circles", "2"), 3), (("circles", "3"), 0)):
            for snapshot in (None, seen):
                found = asyncio.run(view.circles({image_id: model}, None, snapshot))
                assert len(found.get(image_id, ())) == count, (window, model, snapshot)
                assert not asyncio.run(view.circles({image_id: model}, "another", snapshot))


def looked(image_id: UUID, version: str, count: int) -> CirclesDetected:
    found = circles(count)
    found["object_id"] = [each.bytes for each in object_ids(image_id, "circles", version, count)]
    at = MOMENT + timedelta(seconds=count)
    return detected(image_id=image_id, model_version=version, detected_at=at, circles=found)
