"""The words for every kind of outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from deploy.compared import tables
from streams.evaluation.comparison import Comparison, Counts, OfHour
from streams.evaluation.said import groups, sentence

COUNTS = Counts(
    images=812, unchanged=640, changed=172, only_moved=90, a_circles=1000, b_circles=1031, matched=980,
    gained=51, lost=20, moved=7, worst_image=UUID(int=1),
)  # fmt: skip
COMPARISON = Comparison(
    a="circles:1", b="circles:2", snapshot=7, filters={}, iou="circle", min_iou=0.5, moved_px=0.5, only_a=0,
    only_b=0, only_a_images=[], only_b_images=[], counts=COUNTS, share_unchanged=640 / 812, shift_px=None,
    radius_change_px=None, score_change=None, by_source=[], by_radius=[], by_hour=[], worst=[],
    truth=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "3.1 % more circles than circles:1 in 812 images; 640 images are the same"),
        ({"b_circles": 500}, "50.0 % fewer circles than circles:1 in 812 images; 640 images are the same"),
        ({"b_circles": 1000}, "as many circles as circles:1, 1,000, in 812 images; 640 images are the same"),
        ({"a_circles": 10**6, "b_circles": 10**6 + 1}, "less than 0.1 % more circles than circles:1 in 812"),
        ({"a_circles": 0}, "1,031 circles where circles:1 finds none, in 812 images; 640 images are"),
        ({"a_circles": 0, "b_circles": 1, "images": 1, "unchanged": 1}, "1 circle where circles:1 finds none,"
            " in 1 image; 1 image is the same"),
        ({"a_circles": 0, "b_circles": 0}, "as many circles as circles:1, 0, in 812 images"),
    ],
)  # fmt: skip
def test_a_sentence_says_it_all(counts: dict[str, Any], said: str) -> None:
    found = sentence(replace(COMPARISON, counts=replace(COUNTS, **counts)))
    assert found.startswith(f"circles:2 finds {said}")


def test_nothing_matched_leaves_no_table_of_changes() -> None:
    console = Console(width=160, record=True)
    console.print(tables(replace(COMPARISON, filters={"source": "gate"})))
    said = console.export_text()
    assert "6.3 % of" not in said and "98.0 % of circles:1's" in said
    assert "as of snapshot 7, source gate" in said
    assert "change of matched circles" not in said and "worst" not in said


def test_of_many_hours_those_that_changed_most_are_shown() -> None:
    start = datetime(2026, 1, 31, tzinfo=UTC)
    rows = [
        OfHour(hour=start + timedelta(hours=n), images=n, changed=n, only_moved=0, unchanged=0, a_circles=n,
               b_circles=n, matched=0, gained=(n * 7) % 24, lost=0, moved=0, worst_image=UUID(int=n))
        for n in range(24)
    ]  # fmt: skip
    (group,) = groups(replace(COMPARISON, by_hour=rows))
    kept = [n for n in range(24) if (n * 7) % 24 >= 14]
    assert [label for label, _ in group.rows] == [f"2026-01-31 {n:02}:00Z" for n in kept]
    assert group.left_out == 14
    console = Console(width=200, record=True)
    console.print(tables(replace(COMPARISON, by_hour=rows)))
    assert "14 with less gained and lost are left out; --json has all" in console.export_text()
