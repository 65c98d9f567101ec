"""The checker itself: it takes a history that is right, and finds each kind of wrong in made-up ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.histories.history import History, Read, Row, Upload, Walk
from tests.histories.judge import violations


def at(second: float) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)


def row(n: int, status: str = "detected", source: str = "a") -> Row:
    return Row(f"image-{n}", at(n + 0.5), source, status)


UPLOADS = [
    Upload(at(n), at(n + 0.9), "a", 201, f"image-{n}", f"0-{n}", circles=1 if n % 2 else 0) for n in range(6)
]
SEES = Read(at(10), at(11), "list", "0-5", 200, source="a", rows=tuple(row(n) for n in (5, 4, 3, 2, 1, 0)))
ONE = Read(at(10), at(11), "image", "0-3", 200, "image-3", rows=(row(3),))
CIRCLES = Read(at(10), at(11), "objects", "0-3", 200, source="a", rows=(row(3),))
NEWEST = Walk(at(10), at(12), "0-5", False, ((row(5), row(4)), (row(3), row(2)), (row(1), row(0))), "a")
OLDEST = Walk(at(10), at(12), "0-5", True, ((row(0), row(1)), (row(2), row(3), row(4)), (row(5),)))


def kinds(*operations: Upload | Read | Walk) -> list[str]:
    history = History(uploads=list(UPLOADS))
    for one in operations:
        {Upload: history.uploads, Read: history.reads, Walk: history.walks}[type(one)].append(one)  # type: ignore[attr-defined]
    return [violation.kind for violation in violations(history)]


def test_a_history_that_is_right_is_taken() -> None:
    lost = Upload(at(7), at(8), "b", 0)
    also = Row("image-of-the-lost", at(7.5), "b", "pending")
    assert kinds(SEES, ONE, CIRCLES, NEWEST, OLDEST, lost) == []
    assert kinds(lost, replace(OLDEST, pages=(*OLDEST.pages, (also,)))) == []
    assert kinds(*(replace(SEES, answer=status, rows=()) for status in (0, 503))) == []
    assert kinds(replace(SEES, answer=504, rows=(), lag=3)) == []


def test_what_need_not_be_there_is_not_missed() -> None:
    early, other = replace(SEES, after="0-2", rows=SEES.rows[3:]), replace(SEES, source="b", rows=())
    assert kinds(early, other) == []  # before the position, and of another source
    assert kinds(replace(SEES, limit=3, rows=SEES.rows[:3])) == []  # on a later page
    assert kinds(replace(CIRCLES, after="0-4", rows=())) == []  # it was told of none
    assert kinds(replace(NEWEST, since=at(2), pages=NEWEST.pages[:2])) == []
    during = replace(UPLOADS[5], image_id="image-9", position="0-5", begin=at(9), end=at(10.5))
    assert kinds(during, NEWEST) == []  # acknowledged when the walk had begun


@pytest.mark.parametrize(
    "read",
    [
        replace(SEES, rows=SEES.rows[1:]),
        replace(SEES, rows=SEES.rows[:-1]),
        replace(SEES, source=None, rows=SEES.rows[:2] + SEES.rows[3:]),
        replace(SEES, limit=3, rows=(row(5), row(3), row(2))),
        replace(SEES, after="0-2,1-7", rows=SEES.rows[4:]),
        replace(ONE, rows=()),
        replace(ONE, answer=404, rows=()),
        replace(CIRCLES, rows=()),
    ],
)
def test_a_read_that_misses_what_its_position_covers_is_found(read: Read) -> None:
    assert kinds(read) == ["missed"]


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (replace(ONE, rows=(row(3, "pending"),)), "went back"),
        (replace(SEES, rows=(SEES.rows[0], *SEES.rows)), "repeated"),
        (replace(SEES, source="b", rows=(row(3),)), "foreign"),
        (replace(SEES, rows=(row(5), row(8), *SEES.rows[1:])), "invented"),
        (replace(SEES, answer=500, rows=()), "unexpected"),
        (replace(SEES, answer=404, rows=()), "unexpected"),
        (replace(SEES, answer=504, rows=()), "unexpected"),
        (replace(UPLOADS[0], answer=500), "unexpected"),
        (replace(UPLOADS[0], position=""), "unexpected"),
        (replace(NEWEST, tries=(200, 400)), "unexpected"),
    ],
)
def test_each_other_kind_of_wrong_answer_is_found(wrong: Upload | Read, kind: str) -> None:
    assert kinds(wrong) == [kind]


@pytest.mark.parametrize("walk", [NEWEST, OLDEST])
def test_each_wrong_walk_is_found(walk: Walk) -> None:
    first, *others = walk.pages

    def of(*pages: Any) -> Walk:
        return replace(walk, pages=pages)

    assert kinds(of(*others)) == ["skipped"] * len(first)
    assert kinds(of(first, others[0][1:], *others[1:])) == ["skipped"]
    assert kinds(of(*walk.pages[:-1])) == ["skipped"] * len(walk.pages[-1])
    assert kinds(of(first, (first[-1], *others[0]), *others[1:])) == ["repeated"]
    assert kinds(of(first[::-1], *others)) == ["out of order"]
    assert kinds(replace(walk, source="b")) == ["foreign"] * 6
