"""Pages without a query: row for row what DuckDB says of the same window, whatever is asked."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from query_api.view import timeline
from query_api.view.conditions import BEFORE, OF_ROWS
from query_api.view.pages import page
from query_api.view.questions import Question
from streams import lake
from tests.lakes import fresh
from tests.query_api.view.some_images import FIRST, MANY, by_query, some_log, some_question
from tests.query_api.view.windows import loaded
from tests.streams.small_view import put


def test_they_are_what_the_query_says(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "LOOKED_AT", 3)  # so that a page takes several looks
    settings, pick, asked = fresh(postgres, tmp_path), random.Random(5), set[str]()
    with lake.connect(settings, read_only=False) as writer:
        put(settings, writer, some_log(pick), 0)
    window = loaded(settings)
    rows = by_query(window, Question("images", count=MANY))
    assert len(rows) == MANY
    found = 0
    for _ in range(500):
        question = some_question(pick, rows)
        expected = by_query(window, question)
        assert page(window.timeline, question, FIRST) == expected, question
        found += len(expected)
        asked |= {*question.own, *question.outcome, *question.model}
    assert asked == OF_ROWS | BEFORE.keys() | {"since"}
    assert found > MANY * 10
    monkeypatch.setattr(timeline, "MOST_LOOKED_AT", 20)
    rare = Question("images", ("source",), values={"source": "nowhere"}, count=MANY)
    assert page(window.timeline, rare, FIRST) is None
    assert page(window.timeline, replace(rare, own=(), count=2), FIRST) == rows[:2]


@pytest.mark.parametrize(
    "question",
    [
        Question("images"),
        Question("circles", count=5),
        Question("images", ("attributes",), values={"attributes": "{}"}, count=5),
        Question("images", order="uploaded_at ASC, image_id ASC", count=5),
        Question("images", count=5, every=True),
    ],
)
def test_what_takes_a_query_is_none(question: Question) -> None:
    assert page(timeline.Timeline(), question, FIRST) is None
    assert page(timeline.Timeline(), Question("images", count=5), FIRST) == []
