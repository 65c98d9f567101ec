"""Laws of non-maximum suppression and of the area two circles share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.circles import overlap
from detector.v1.selection import MAX_OVERLAP, select

radii = st.floats(1, 200)


@pytest.mark.parametrize(
    ("distance", "radius", "other", "shared"),
    [
        (0, 10, 10, 1),
        (0, 5, 10, 1),
        (4, 5, 10, 1),
        (15, 5, 10, 0),
        (99, 5, 10, 0),
        (10, 10, 10, 2 / 3 - np.sqrt(3) / (2 * np.pi)),  # each centre on the other's rim
    ],
)
def test_overlap(distance: float, radius: float, other: float, shared: float) -> None:
    found = overlap(np.array([distance]), np.array([radius]), other)
    assert found[0] == pytest.approx(shared, abs=1e-6)


@given(st.floats(0, 500), radii, radii)
def test_overlap_is_a_fraction_and_symmetric(distance: float, one: float, other: float) -> None:
    here = overlap(np.array([distance]), np.array([one]), other)[0]
    there = overlap(np.array([distance]), np.array([other]), one)[0]
    assert 0 <= here <= 1
    assert here == pytest.approx(there, abs=1e-6)


circle = st.tuples(st.floats(0, 300), st.floats(0, 300), radii, st.floats(0.1, 1))


@given(st.lists(circle, max_size=12))
def test_kept_circles_do_not_overlap_and_dropping_again_drops_nothing(
    rows: list[tuple[float, float, float, float]],
) -> None:
    found = np.array(rows).reshape(-1, 4)
    kept = found[select(found[:, :2], found[:, 2], found[:, 3])]
    for i, one in enumerate(kept):
        distance = np.hypot(*(kept[i + 1 :, :2] - one[:2]).T)
        assert (overlap(distance, kept[i + 1 :, 2], one[2]) <= MAX_OVERLAP).all()
    assert len(select(kept[:, :2], kept[:, 2], kept[:, 3])) == len(kept)
    assert len(kept) > 0 or not rows


def test_the_outer_of_concentric_rings_stays() -> None:
    centre, radius = np.array([[50.0, 50], [51, 50]]), np.array([20.0, 30])
    assert select(centre, radius, np.array([0.9, 0.7])).tolist() == [1]
