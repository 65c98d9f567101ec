"""Average precision is that of pycocotools, and of drawn samples, too."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.circles import Circles
from detector.evaluation.average_precision import average_precision, evaluator, rank
from detector.evaluation.dataset import of_boxes
from tests.detector.evaluation import circles, guesses, spots

law = settings(max_examples=40)
IMAGES = st.lists(st.tuples(guesses(), spots().map(of_boxes)), min_size=1, max_size=5)


def by_coco(found: list[Circles], truth: list[Circles], *, by_circle: bool) -> list[float]:
    coco = evaluator(found, truth, circles=by_circle)
    with redirect_stdout(io.StringIO()):
        coco.accumulate()
    return [float(one) for one in coco.eval["precision"][:, :, 0, 0, 0].mean(axis=1)]


def here(found: list[Circles], truth: list[Circles], weights: list[int], *, by_circle: bool) -> list[float]:
    ranks = rank(found, truth, circles=by_circle)
    annotated = np.array([len(one) for one in truth])
    return [float(one) for one in average_precision(ranks, annotated, np.array([weights], float))[0]]


@pytest.mark.parametrize("by_circle", [False, True])
@law
@given(images=IMAGES)
def test_it_is_what_pycocotools_computes(images: list[tuple[Circles, Circles]], by_circle: bool) -> None:
    found, truth = [f for f, _ in images], [t for _, t in images]
    computed = here(found, truth, [1] * len(images), by_circle=by_circle)
    if sum(map(len, truth)):
        assert computed == pytest.approx(by_coco(found, truth, by_circle=by_circle))
    else:
        assert np.isnan(computed).all()


@law
@given(
    st.lists(st.tuples(guesses(), spots().map(of_boxes)), min_size=3, max_size=3), st.permutations([0, 1, 2])
)
def test_an_image_drawn_twice_counts_as_two(
    images: list[tuple[Circles, Circles]], weights: list[int]
) -> None:
    for number, (found, _) in enumerate(images):  # no ties between images, whose order would count
        found["score"] -= np.float32(number / 100) + np.arange(len(found), dtype=np.float32) / 1000
    drawn = [image for image, times in zip(images, weights, strict=True) for _ in range(times)]
    truth = [t for _, t in drawn]
    if sum(map(len, truth)):
        computed = here([f for f, _ in images], [t for _, t in images], weights, by_circle=False)
        assert computed == pytest.approx(by_coco([f for f, _ in drawn], truth, by_circle=False))


def test_more_than_a_hundred_circles_of_an_image_all_count() -> None:
    many = circles(*[(30 * n, 30, 10) for n in range(1, 151)])
    assert here([many], [many], [1], by_circle=False) == pytest.approx([1] * 10)
    assert here([many], [many], [1], by_circle=True) == pytest.approx([1] * 10)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    rank([circles((50, 50, 10))], [circles((50, 50, 10))], circles=True)
    assert capsys.readouterr().out == ""
