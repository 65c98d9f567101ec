"""Matching many images at once gives what the slow and obvious way gives for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.circles import FloatArray
from detector.evaluation.matching import match
from detector.evaluation.overlap import box_iou, boxes, circle_iou
from streams.evaluation.found import Found, gather
from streams.evaluation.matching import Iou, match_images
from tests.streams.evaluation.made import Five, crowded, found, of_image, shuffled

IOUS: list[Iou] = ["circle", "box"]
law = settings(max_examples=150)


def every_iou(a: Found, b: Found, image: int, iou: Iou) -> FloatArray:
    one, other = of_image(a, image), of_image(b, image)
    return circle_iou(one, other) if iou == "circle" else box_iou(boxes(one), boxes(other))


def agree(a: Found, b: Found, threshold: float, iou: Iou) -> int:
    """Assert that each image's pairs are as good as those of `match`; how many are the very same."""
    pairs, same = match_images(a, b, threshold, iou), 0
    assert (np.diff(pairs.a) > 0).all()
    assert len(np.unique(pairs.b)) == len(pairs.b)
    bounds = np.searchsorted(pairs.a, a.offsets)
    for image in range(len(a.offsets) - 1):
        table = every_iou(a, b, image, iou)
        right = match(table, threshold)
        part = slice(bounds[image], bounds[image + 1])
        rows, columns = pairs.a[part] - a.offsets[image], pairs.b[part] - b.offsets[image]
        assert ((columns >= 0) & (columns < table.shape[1])).all()
        assert len(rows) == len(right.found)
        assert table[rows, columns].tolist() == pairs.iou[part].tolist()
        assert pairs.iou[part].sum() == pytest.approx(table[right].sum(), rel=1e-14)
        same += rows.tolist() == right.found.tolist() and columns.tolist() == right.truth.tolist()
    return same


@pytest.mark.parametrize("iou", IOUS)
def test_ten_thousand_crowded_images_are_matched_as_one_by_one(iou: Iou) -> None:
    same = agree(*crowded(10_000, 7), 0.5, iou)
    assert 9_000 < same < 10_000  # the others have several pairings that are equally good


@pytest.mark.parametrize("iou", IOUS)
@pytest.mark.parametrize("threshold", [1e-3, 0.2, 1 / 3, 0.75, 1])
def test_any_threshold(iou: Iou, threshold: float) -> None:
    agree(*crowded(200, 11), threshold, iou)


place, size = st.integers(1, 9), st.integers(1, 5)
image = st.lists(st.tuples(place, place, size, st.sampled_from([0.25, 1.0])), max_size=6)
several = st.lists(st.tuples(image, image), max_size=4)


@law
@given(several, st.sampled_from(IOUS), st.sampled_from([0.1, 0.25, 0.5, 0.9]))
def test_no_images_make_a_difference(
    images: list[tuple[list[Five], list[Five]]], iou: Iou, threshold: float
) -> None:
    agree(found(*(a for a, _ in images)), found(*(b for _, b in images)), threshold, iou)


@pytest.mark.parametrize("iou", IOUS)
def test_the_order_of_circles_counts_for_nothing(iou: Iou) -> None:
    a, b = crowded(2_000, 21)
    (other_a, order_a), (other_b, order_b) = shuffled(a, 1), shuffled(b, 2)

    def said(one: Found, other: Found) -> list[tuple[float, ...]]:
        pairs = match_images(one, other, 0.4, iou)
        columns = [
            column
            for side, picked in ((one, pairs.a), (other, pairs.b))
            for column in (side.x[picked], side.y[picked], side.radius[picked], side.score[picked])
        ]
        return sorted(zip(one.images[pairs.a].tolist(), *(c.tolist() for c in columns), strict=True))

    assert (order_a != np.arange(len(order_a))).any() and (order_b != np.arange(len(order_b))).any()
    assert said(a, b) == said(other_a, other_b)


def test_a_surer_circle_is_taken_first_where_all_else_is_equal() -> None:
    a, b = found([(5, 5, 3, 0.25), (5, 5, 3, 0.75), (5, 5, 3, 0.5)]), found([(5, 5, 3, 1)])
    assert match_images(a, b).a.tolist() == match_images(b, a).b.tolist() == [1]


def test_an_image_is_matched_only_with_itself() -> None:
    one: Five = (5, 5, 3, 1)
    assert len(match_images(found([one], []), found([], [one])).a) == 0
    assert match_images(found([], [one]), found([], [one])).iou.tolist() == pytest.approx([1])


def test_more_candidates_than_circles() -> None:
    a, b = found([(5, 5, 3, 1)] * 40), found([(5, 5, 3, 1)] * 30)
    assert len(match_images(a, b).a) == 30


def test_circles_in_any_order_are_gathered_by_image() -> None:
    names = ("x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max")
    columns = {name: np.arange(4, dtype=np.float32) + 10 * n for n, name in enumerate(names)}
    made = gather(4, np.array([2, 0, 2, 1]), columns)
    assert made.offsets.tolist() == [0, 1, 2, 4, 4]
    assert (made.x.tolist(), made.counts.tolist(), made.images.tolist()) == (
        [1, 3, 0, 2],
        [1, 1, 2, 0],
        [0, 1, 2, 2],
    )
    assert made.box is not None and made.box[0].tolist() == [41, 51, 61, 71]
    assert gather(1, np.zeros(0, np.int64), {name: columns[name][:0] for name in names[:4]}).box is None


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        match_images(found([]), found([]), threshold)


def test_boxes_have_to_be_there_to_be_compared() -> None:
    a = found([(5, 5, 3, 1)])
    bare = Found(a.offsets, a.x, a.y, a.radius, a.score)
    with pytest.raises(ValueError, match="without boxes"):
        match_images(a, bare, iou="box")
