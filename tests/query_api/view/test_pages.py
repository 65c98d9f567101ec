"""Pages without a query: row for row what DuckDB says of the same window, whatever is asked."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from query_api.view import timeline
from query_api.view.pages import BEFORE, OF_ROWS, page
from query_api.view.questions import QUERIES, Question
from query_api.view.reading import as_rows
from query_api.view.window import Window
from streams import lake
from streams.circles import object_ids
from streams.records import Record
from tests.examples import MOMENT, circles, detected, failed, retried, uploaded
from tests.lakes import fresh
from tests.query_api.view.windows import loaded
from tests.streams.small_view import put

MINUTE = timedelta(minutes=1)
FIRST = MOMENT - MINUTE
MANY = 60


def some_log(pick: random.Random) -> list[Record]:
    """Images of three projects, several of one instant, each with some outcome; two models, one an image."""
    log: list[Record] = []
    for number in range(MANY):
        image = {"image_id": UUID(int=pick.getrandbits(128)), "project_id": pick.choice("pqr")}
        at = MOMENT + pick.randrange(12) * MINUTE
        more: dict[str, Any] = {"captured_at": at - MINUTE} if pick.random() < 0.5 else {}
        source = pick.choice(["", "a", 'b"\\ü'])
        log.append(uploaded(**image, source_id=source, uploaded_at=at, attributes={"n": source}, **more))
        if pick.random() < 0.6:
            version, found = pick.choice("12"), circles(pick.randrange(4))
            of = object_ids(image["image_id"], "circles", version, len(found))
            found["object_id"] = [object_id.bytes for object_id in of]
            log.append(detected(**image, model_version=version, circles=found, detected_at=at + MINUTE))
        if pick.random() < 0.4:
            letter = {"dead_letter_id": UUID(int=number + 1), "image_id": image["image_id"]}
            log.append(failed(**letter, project_id=image["project_id"], failed_at=at))
            log += [retried(**letter)] if pick.random() < 0.4 else []
    return log


def some_question(pick: random.Random, rows: list[dict[str, Any]]) -> Question:
    row = pick.choice(rows)
    moment = row["uploaded_at"] + pick.choice([-1, 0, 1]) * timedelta(microseconds=1)
    values = {
        "source": pick.choice([row["source_id"], "else"]), "project": pick.choice("pqrs"), "scope": "p",
        "since": moment, "until": pick.choice(rows)["uploaded_at"], "model": pick.choice(["circles", "else"]),
        "version": pick.choice("123"), "k0": row["uploaded_at"], "k1": row["image_id"],
        "min_circles": pick.randrange(4), "max_circles": pick.randrange(4),
    }  # fmt: skip
    own = ["source", "project", "scope", "since", "until", "not_after", "newest_behind"]
    outcome = ["detected", "failed", "pending", "min_circles", "max_circles"]
    return Question(
        "images",
        tuple(pick.sample(own, pick.choice([0, 1, 1, 2, 3]))),
        tuple(pick.sample(outcome, pick.choice([0, 0, 1, 2]))),
        tuple(pick.sample(["model", "version"], pick.choice([0, 0, 1, 2]))),
        values,
        count=pick.choice([1, 5, MANY]),
    )


def by_query(window: Window, question: Question) -> list[dict[str, Any]]:
    names = {*question.own, *question.outcome, *question.model, "since_floor"}
    text = " ".join(QUERIES[name] for name in names)
    asked = {name: value for name, value in question.values.items() if f"${name}" in text}
    with window.reading() as cursor:
        return as_rows(cursor.execute(question.of_window(), {**asked, "floor": FIRST}))


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
