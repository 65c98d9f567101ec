"""Counts without a query: row for row what DuckDB says of the same window, whatever is asked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deploy.local.postgres import running_postgres
from query_api.view import counting
from query_api.view.counting import STEPS, counts
from query_api.view.questions import Question
from query_api.view.timeline import Timeline
from query_api.view.window import Window
from streams import lake
from tests.lakes import fresh
from tests.query_api.view.some_images import FIRST, MANY, by_query, some_log, some_question
from tests.query_api.view.windows import loaded
from tests.streams.small_view import put

WIDE, RADIUS = {"width": 5.0}, {"value": "radius"}
BY = [(), ("source_id",), ("project_id",), ("model_name", "model_version")]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    folder = tmp_path_factory.mktemp("view")
    with running_postgres(folder / "postgres") as url:
        settings = fresh(url, folder)
        with lake.connect(settings, read_only=False) as writer:
            put(settings, writer, some_log(random.Random(3)), 0)
        yield loaded(settings)


def some_count(pick: random.Random, rows: list[dict[str, Any]]) -> Question:
    question = replace(some_question(pick, rows), order="", count=10_001, by=pick.choice(BY))
    own = tuple(name for name in question.own if name not in ("not_after", "newest_behind"))
    if pick.random() < 0.5:
        bucket = pick.choice([None, *STEPS, "month"])
        return replace(question, query="statistics_images", own=own, bucket=bucket)
    value, width = pick.choice([("radius", 5.0), ("radius", 0.3), ("score", 0.05), ("score", 1.0)])
    values = {**question.values, "width": width}
    asked = replace(question, query="statistics_histogram", own=own, outcome=(), values=values)
    return replace(asked, parts={"value": value})


def test_they_are_what_the_query_says(window: Window) -> None:
    pick = random.Random(7)
    rows = by_query(window, Question("images", count=MANY))
    found, several = 0, 0
    for _ in range(600):
        question = some_count(pick, rows)
        expected = by_query(window, question)
        answer = counts(window.timeline, question, FIRST)
        if answer is None:  # of half a year by minutes there are too many
            assert question.bucket == "minute"
            continue
        assert answer == expected, question
        found += len(expected)
        several += len(expected) > 1
    assert found > 1_000 and several > 150


def test_the_keys_are_in_the_order_of_the_query(window: Window) -> None:
    for question in (
        Question("statistics_images", bucket="hour", by=("model_name", "model_version"), order=""),
        Question("statistics_histogram", by=("source_id",), values=WIDE, parts=RADIUS, order=""),
    ):
        (mine, *_), (theirs, *_) = (
            counts(window.timeline, question, FIRST) or [{}],
            by_query(window, question),
        )
        assert list(mine) == list(theirs)


def test_what_would_take_many_cells_takes_a_query(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    images = Question("statistics_images", bucket="hour", order="")
    fine = Question("statistics_histogram", values={"width": 1e-9}, parts=RADIUS, order="")
    assert counts(window.timeline, images, FIRST)
    assert counts(window.timeline, fine, FIRST) is None
    monkeypatch.setattr(counting, "MOST_CELLS", 20)
    assert counts(window.timeline, images, FIRST) is None
    assert counts(Timeline(), images, FIRST) == []
    assert counts(Timeline(), Question("statistics_latency"), FIRST) is None


@pytest.mark.parametrize("values", [[1.0, np.nan], [-0.5, 1.0], [1.0, np.inf]])
def test_what_is_in_no_bin_takes_a_query(values: list[float]) -> None:
    groups = counting.Groups(np.zeros(2, np.int64), 1, lambda _: {})
    assert counting.bins(np.array(values, np.float32), 1.0, groups, None) is None
