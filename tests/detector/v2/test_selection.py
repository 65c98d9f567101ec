"""One candidate for each round thing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import circles
from detector.v2 import neighbours, selection
from detector.v2.compiled import Floats

place, radius = st.floats(0, 60, width=32), st.floats(3, 30, width=32)
scores = st.sampled_from([0.0, 0.1, 0.3, 0.3, 0.5, 0.9])
scored = st.lists(st.tuples(place, place, radius, st.floats(0.5, 1, width=32), scores), max_size=25)


@given(distance=st.floats(0, 100), one=st.floats(0.5, 50), other=st.floats(0.5, 50))
def test_overlap_is_that_of_the_definition(distance: float, one: float, other: float) -> None:
    large, small = max(one, other), min(one, other)
    expected = circles.overlap(np.array([distance]), np.array([one]), other)
    assert abs(neighbours.overlap(distance, large, small) - expected[0]) < 1e-4


def columns(rows: list[tuple[float, float, float, float, float]]) -> tuple[Floats, Floats]:
    table = np.array([(x, y, r, r * ratio, 0, score) for x, y, r, ratio, score in rows], np.float32)
    table = table.reshape(-1, 6)
    return np.ascontiguousarray(table[:, :5]), np.ascontiguousarray(table[:, 5])


@given(scored)
def test_what_stays_is_one_for_each_thing_best_first(
    rows: list[tuple[float, float, float, float, float]],
) -> None:
    candidates, score = columns(rows)
    kept = selection.select(candidates, score, np.float32(0.2))
    assert (score[kept] >= np.float32(0.2)).all()
    assert (np.diff(score[kept]) <= 0).all()
    for n, i in enumerate(kept):
        assert not any(selection.one_thing(candidates[i], candidates[j]) for j in kept[:n])
    for i in set(range(len(rows))) - set(kept.tolist()):
        better = [j for j in kept if score[j] >= score[i]]
        assert score[i] < np.float32(0.2) or any(
            selection.one_thing(candidates[i], candidates[j]) for j in better
        )


@given(scored)
def test_selecting_again_changes_nothing(rows: list[tuple[float, float, float, float, float]]) -> None:
    candidates, score = columns(rows)
    kept = selection.select(candidates, score, np.float32(0))
    again = selection.select(candidates[kept], score[kept], np.float32(0))
    assert again.tolist() == list(range(len(kept)))


def ellipse(x: float, y: float, radius: float) -> Floats:
    return np.array([x, y, radius, radius, 0], np.float32)


def test_what_is_one_thing() -> None:
    coin = ellipse(50, 50, 20)
    assert selection.one_thing(coin, ellipse(52, 49, 21))
    assert selection.one_thing(coin, ellipse(50, 51, 12)), "a ring on the coin"
    assert not selection.one_thing(coin, ellipse(50, 51, 5)), "its hole"
    assert not selection.one_thing(coin, ellipse(75, 50, 20)), "one that touches it"
    assert not selection.one_thing(coin, ellipse(60, 55, 10)), "one that lies on it"


def test_surroundings_of_a_ring_and_of_one_far_away() -> None:
    candidates = np.stack([ellipse(50, 50, 20), ellipse(50, 50, 12), ellipse(200, 50, 20)])
    out = np.full((3, len(neighbours.NAMES)), 7, np.float32)
    neighbours.surroundings(candidates, np.array([0.9, 0.6, 0.8], np.float32), out)
    coin, ring, far = (dict(zip(neighbours.NAMES, row.tolist(), strict=True)) for row in out)
    assert (coin["rank"], far["rank"]) == (0, np.log1p(np.float32(1)))
    assert coin["smaller_ring"] == np.float32(0.6) and coin["larger_ring"] == 0
    assert ring["larger_ring"] == np.float32(0.9)
    assert ring["larger_ring_by"] == -coin["smaller_ring_by"] == pytest.approx(np.log(20 / 12))
    assert far["larger_ring"] == far["smaller_ring"] == far["holder"] == 0
    assert coin["like_size"] == np.float32(0.8)
    assert {row["best_here"] for row in (coin, ring, far)} == {np.float32(0.9)}
