"""What a list of images can be asked for, on a real view: every filter against the same said in Python."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from deploy.local.postgres import running_postgres
from query_api.filters import Images
from query_api.sorting import Cursors
from query_api.view.reading import View
from streams import lake
from streams.records import Record
from streams.settings import Settings
from tests.examples import MOMENT, circles, detected, failed, retried, uploaded
from tests.lakes import fresh
from tests.query_api.view.windows import loaded, over
from tests.streams.small_view import put

DAY = timedelta(days=1)
ODD = "it's = ?"
IMAGES = [UUID(int=n << 64) for n in range(1, 7)]
FEW, MANY, NONE, FAILED, RETRIED, WAITING = IMAGES
"""By what became of them: few circles by two models, many, none; failed, retried, not looked at yet."""


def log() -> list[Record]:
    sources = ["a", "a", "b", "", ODD, "a"]
    records: list[Record] = [
        uploaded(image_id=image_id, source_id=source, uploaded_at=MOMENT + number * DAY)
        for number, (image_id, source) in enumerate(zip(IMAGES, sources, strict=True))
    ]
    records += [
        detected(image_id=FEW, circles=circles(9), detected_at=MOMENT),
        detected(image_id=FEW, model_version="2", circles=circles(2), detected_at=MOMENT + DAY),
        detected(image_id=MANY, model_name="other", model_version="2", circles=circles(5)),
        detected(image_id=NONE, circles=circles(0)),
        failed(dead_letter_id=UUID(int=1), image_id=FAILED),
        failed(dead_letter_id=UUID(int=2), image_id=RETRIED),
        failed(dead_letter_id=UUID(int=3), image_id=MANY),
        retried(dead_letter_id=UUID(int=2), image_id=RETRIED),
    ]
    return records


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("view")
    with running_postgres(folder / "postgres") as url:
        settings = fresh(url, folder)
        with lake.connect(settings, read_only=False) as writer:
            put(settings, writer, log(), 0)
        yield settings


@pytest.fixture(scope="module", params=[None, 100, 3], ids=["lake", "window", "window of a part"])
def view(settings: Settings, request: pytest.FixtureRequest) -> View:
    return over(settings, loaded(settings, request.param) if request.param else None)


def listed(view: View, **asked: Any) -> list[UUID]:
    question = Images(**asked).asked(Cursors(b"key"), "")
    return [row["image_id"] for row in asyncio.run(view.rows(question))]


ASKED: dict[str, dict[Any, set[UUID]]] = {
    "source": {"a": {FEW, MANY, WAITING}, "": {FAILED}, ODD: {RETRIED}, "A": set()},
    "since": {MOMENT + DAY: set(IMAGES[1:]), "2026-02-01T12:00:00.123456": set(IMAGES[1:])},
    "until": {MOMENT + DAY: {FEW}},
    "status": {
        "detected": {FEW, MANY, NONE},
        "failed": {FAILED},
        "pending": {RETRIED, WAITING},
    },
    "min_circles": {0: {FEW, MANY, NONE}, 3: {MANY}},
    "max_circles": {0: {NONE}, 2: {FEW, NONE}},
    "model": {"circles": {FEW, NONE}, "other": {MANY}, "third": set()},
}
CASES = [(name, value, images) for name, answers in ASKED.items() for value, images in answers.items()]


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
def test_a_filter_leaves_what_it_says_newest_first(
    view: View, name: str, value: Any, expected: set[UUID]
) -> None:
    assert listed(view, **{name: value}) == sorted(expected, reverse=True)


def test_of_several_filters_all_hold(view: View) -> None:
    for (one, its, some), (other, whose, more) in product(CASES, CASES):
        if one < other:
            assert set(listed(view, **{one: its, other: whose})) == some & more


def test_a_version_is_of_the_model_that_is_named(view: View) -> None:
    assert listed(view, model="circles", version="2") == [FEW]
    assert listed(view, model="circles:2") == [FEW]
    assert listed(view, model="circles:3") == []
    assert listed(view, model="current") == listed(view, model="all") == listed(view)
    with pytest.raises(ValidationError, match="the version is said twice"):
        Images(model="circles:2", version="2")
    with pytest.raises(ValidationError, match="there is no parameter 'score'"):
        Images(model="circles:2+score=.5")
    assert listed(view, model="circles", version="1") == [NONE, FEW]
    with pytest.raises(ValidationError, match="version is of a model"):
        Images(version="2")
    with pytest.raises(ValidationError, match="version is of a model"):
        Images(model="all", version="2")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"source": "a\0b"}, "has a NUL"),
        ({"source": "x" * 201}, "at most 200 characters"),
        ({"since": "9999-12-31T23:59:59-12:00"}, "years 1 to 9999"),
        ({"since": "yesterday"}, "valid datetime"),
        ({"min_circles": -1}, "greater than or equal to 0"),
        ({"status": "done"}, "'pending', 'detected' or 'failed'"),
        ({"limit": 501}, "less than or equal to 500"),
    ],
)
def test_what_cannot_be_asked_for_is_said(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Images(**asked)
