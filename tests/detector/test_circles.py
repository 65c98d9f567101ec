"""The array of circles: its columns from ellipses."""

from __future__ import annotations

import numpy as np
import pytest

from detector.circles import make

ONE = np.ones(1)


def test_a_circle_is_boxed_and_has_no_angle() -> None:
    (found,) = make(np.array([[30, 20, 5, 5, 1.2]]), ONE, (100, 100))
    assert found.tolist() == (30, 20, 5, 1, 25, 15, 35, 25, 5, 5, 0)


def test_the_box_ends_at_the_frame_and_the_circle_does_not() -> None:
    (found,) = make(np.array([[2, 98, 5, 5, 0]]), ONE, (100, 100))
    assert found.tolist() == (2, 98, 5, 1, 0, 93, 7, 100, 5, 5, 0)


@pytest.mark.parametrize("ellipse", [(50, 50, 20, 5, np.pi / 2), (50, 50, 5, 20, 0), (50, 50, 5, 20, np.pi)])
def test_one_ellipse_however_it_is_written(ellipse: tuple[float, ...]) -> None:
    (found,) = make(np.array([ellipse]), ONE, (100, 100))
    assert found["radius"] == 10 and (found["major"], found["minor"]) == (20, 5)
    assert abs(found["angle"]) == pytest.approx(np.pi / 2)
    assert (found["x_min"], found["y_min"]) == (pytest.approx(45), pytest.approx(30))


def test_what_breaks_a_law_is_left_out() -> None:
    rows = [
        [50, 50, 5, 5, 0],
        [np.nan, 50, 5, 5, 0],
        [50, 50, 0, 5, 0],
        [-50, 50, 5, 5, 0],
        [50, 50, 5, -5, 0],
    ]
    assert len(make(np.array(rows), np.ones(5), (100, 100))) == 1
    assert len(make(np.array(rows[:1]), np.array([1.5]), (100, 100))) == 0
