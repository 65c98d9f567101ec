"""Positions as clients write them, and how much is missing to one."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from query_api.access.caller import OPERATOR
from query_api.access.seal import Seal
from query_api.errors import Problem
from query_api.moments import MOST, read, written
from query_api.view.waiting import Position, remaining
from streams.topics import ANNOTATED, UPLOADED

A, B = (UPLOADED.name, 1), (UPLOADED.name, 2)
PLACES = st.tuples(st.integers(0, 999), st.integers(0, 10**12))


@given(st.lists(PLACES, min_size=1, max_size=MOST))
def test_of_several_positions_the_furthest_of_each_partition_counts(places: list[tuple[int, int]]) -> None:
    position = read(", ".join(written(*place) for place in places), Seal(), OPERATOR)
    assert position == {(UPLOADED.name, p): max(offset for q, offset in places if q == p) for p, _ in places}


def test_a_position_says_of_what_it_is() -> None:
    position = read("3-7,annotations.3-9,annotations.4-1", Seal(), OPERATOR)
    assert position == {(UPLOADED.name, 3): 7, (ANNOTATED.name, 3): 9, (ANNOTATED.name, 4): 1}
    assert written(3, 9, ANNOTATED) == "annotations.3-9"
    assert remaining(position, {(UPLOADED.name, 3): 8, (ANNOTATED.name, 3): 8}) == {
        (ANNOTATED.name, 3): 2, (ANNOTATED.name, 4): 2,
    }  # fmt: skip


def test_no_position_is_none_to_wait_for() -> None:
    assert read("", Seal(), OPERATOR) == {}


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "3-",
        "-3",
        "3-1207,",
        "3--1",
        "a-1",
        "\u0663-1",
        "models.3-1",
        "3-1" + "0" * 18,
        "1-1," * MOST + "1-1",
    ],
)
def test_what_is_no_position_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(Problem, match="like 3-1207") as refused:
        read(text, Seal(), OPERATOR)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("folded", "expected"),
    [
        ({A: 8, B: 1}, {}),
        ({A: 7, B: 9}, {A: 1}),
        ({A: 0}, {A: 8, B: 1}),
        ({}, {A: 8, B: 1}),
    ],
)
def test_an_offset_is_passed_once_the_next_one_is_to_be_folded(folded: Position, expected: Position) -> None:
    assert remaining({A: 7, B: 0}, folded) == expected


def test_a_snapshot_is_waited_for_in_the_generation_that_it_is_of() -> None:
    position = read("1-1,lake_1.55,lake_1.54", Seal(), OPERATOR)
    assert position == {A: 1, "lake_1": 55}
    assert remaining(position, {A: 2, "lake_1": 55}) == {"lake_1": 1}
    assert remaining(position, {A: 2, "lake_1": 56}) == {}
    assert remaining(position, {A: 2, "lake_2": 3}) == {}
