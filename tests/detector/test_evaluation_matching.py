"""Overlap against known areas and a second implementation, matching against all there are."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask  # type: ignore[import-untyped]

from detector.circles import FloatArray
from detector.evaluation.matching import match
from detector.evaluation.overlap import box_iou, circle_iou
from tests.detector.evaluation import circles, spots

law = settings(max_examples=60)


@law
@given(spots(), spots())
def test_boxes_overlap_as_coco_says(one: FloatArray, other: FloatArray) -> None:
    sides = [np.hstack([b[:, :2], b[:, 2:] - b[:, :2]]) for b in (one, other)]
    expected = (
        mask.iou(*sides, [0] * len(other)) if len(one) and len(other) else np.zeros((len(one), len(other)))
    )
    assert box_iou(one, other) == pytest.approx(expected)


def test_circles_overlap_by_their_areas() -> None:
    one = circles((0, 0, 10), (100, 0, 10))
    other = circles((0, 0, 10), (0, 0, 5), (10, 0, 10), (20, 0, 10), (300, 0, 10))
    lens = 2 * np.pi / 3 - np.sqrt(3) / 2  # of unit circles one radius apart
    expected = [1, 0.25, lens / (2 * np.pi - lens), 0, 0]
    assert circle_iou(one, other)[0] == pytest.approx(expected, abs=1e-6)
    assert circle_iou(one, other)[1] == pytest.approx(np.zeros(5))
    assert circle_iou(one, circles()).shape == (2, 0)


@law
@given(st.tuples(*[st.floats(10, 60)] * 2), st.floats(0, 120))
def test_circles_overlap_as_their_pixels_do(radii: tuple[float, float], distance: float) -> None:
    y, x = np.mgrid[-60:60:0.25, -60:181:0.25]
    one = x**2 + y**2 < radii[0] ** 2
    other = (x - distance) ** 2 + y**2 < radii[1] ** 2
    counted = (one & other).sum() / (one | other).sum()
    (computed,) = circle_iou(circles((0, 0, radii[0])), circles((distance, 0, radii[1]))).ravel()
    assert computed == pytest.approx(counted, abs=0.03)


GRID = st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0])


@law
@given(st.data(), st.integers(0, 4), st.integers(0, 4))
def test_no_pairing_has_more_pairs_or_as_many_that_overlap_more(
    data: st.DataObject, found: int, true: int
) -> None:
    row = st.lists(GRID, min_size=true, max_size=true)
    iou = np.array(data.draw(st.lists(row, min_size=found, max_size=found))).reshape(found, true)
    pairs = match(iou, 0.5)
    assert (iou[pairs] >= 0.5).all()
    assert len(set(pairs.found.tolist())) == len(set(pairs.truth.tolist())) == len(pairs.found)
    wide = iou if found <= true else iou.T
    best = (0, 0.0)
    for columns in permutations(range(wide.shape[1]), wide.shape[0]):
        chosen = wide[np.arange(wide.shape[0]), np.array(columns, int)]
        chosen = chosen[chosen >= 0.5]
        best = max(best, (len(chosen), float(chosen.sum())))
    assert (len(pairs.found), float(iou[pairs].sum())) == pytest.approx(best)


def test_more_pairs_come_before_a_larger_overlap() -> None:
    iou = np.array([[0.95, 0.35], [0.35, 0.0]])
    assert len(match(iou, 0.3).found) == 2
    assert len(match(iou, 0.4).found) == 1
