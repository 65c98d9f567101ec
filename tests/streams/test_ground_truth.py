"""What people draw: what is taken as it is, and what is refused by the name of its entry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from pydantic import ValidationError

from detector.evaluation.dataset import of_boxes
from streams.circles import invalid_circles
from streams.ground_truth import (
    MOST_CIRCLES,
    InvalidAnnotation,
    Shapes,
    annotation,
    drawn,
    named,
    wrong_entries,
)
from tests.examples import CODEC, IMAGE_ID, MOMENT

WIDTH, HEIGHT = 640, 480
ANNOTATION_ID = UUID(int=7)
PLACES = st.floats(1, 470, allow_subnormal=False)
RADII = st.floats(0.1, 300)


def circles(*rows: tuple[float, float, float]) -> Shapes:
    return Shapes.model_validate({"circles": [{"x": x, "y": y, "radius": r} for x, y, r in rows]})


def boxes(*rows: tuple[float, float, float, float]) -> Shapes:
    return Shapes.model_validate({"boxes": list(map(list, rows))})


@given(st.lists(st.tuples(PLACES, PLACES, RADII), max_size=5))
def test_circles_are_kept_as_they_are_given_in_32_bits(rows: list[tuple[float, float, float]]) -> None:
    found = drawn(circles(*rows), WIDTH, HEIGHT)
    assert [c[["x", "y", "radius"]].tolist() for c in found] == [
        tuple(map(float, np.array(row, "<f4"))) for row in rows
    ]
    assert invalid_circles(found) == ""


@given(st.lists(st.tuples(PLACES, PLACES, RADII), max_size=5), st.sampled_from(["circles", "boxes"]))
def test_what_is_written_out_and_drawn_again_is_the_same(
    rows: list[tuple[float, float, float]], drawn_as: str
) -> None:
    shapes = circles(*rows) if drawn_as == "circles" else boxes(*((x, y, x + r, y + r) for x, y, r in rows))
    once = drawn(shapes, WIDTH, HEIGHT)
    names = ["x", "y", "radius"] if drawn_as == "circles" else ["x_min", "y_min", "x_max", "y_max"]
    written = once[names].tolist()
    again = drawn(circles(*written) if drawn_as == "circles" else boxes(*written), WIDTH, HEIGHT)
    assert again.tobytes() == once.tobytes()


def test_a_box_is_the_circle_that_the_evaluator_takes_it_for() -> None:
    rows = [(10, 20, 50, 70), (600, -5, 700, 95.5)]
    found, judged = drawn(boxes(*rows), WIDTH, HEIGHT), of_boxes(np.array(rows, float))
    for name in ("x", "y", "radius", "x_min", "y_min", "x_max", "y_max", "score"):
        assert found[name].tolist() == judged[name].tolist()


@pytest.mark.parametrize(
    ("shapes", "wrong"),
    [
        (circles((1, 1, 1), (-20, 5, 20)), r"circles\[1\]: nothing of it is in the picture, which is 640 x"),
        (circles((660.5, 5, 20.25)), r"circles\[0\]: nothing of it is in the picture"),
        (circles((5, 500, 20)), r"circles\[0\]: nothing of it is in the picture"),
        (circles((5, 5, 801)), r"circles\[0\]: it is far larger than the picture, 640 x 480"),
        (circles((5, 5, 1e-50)), r"circles\[0\]: it is too small or too large"),
        (circles((300, 5, 1e-6)), r"circles\[0\]: it is too small or too large"),
        (circles((5, 5, 1e300)), r"circles\[0\]: it is too small or too large"),
        (boxes((1, 1, 2, 2), (9, 1, 2, 2)), r"boxes\[1\]: a box is x_min, y_min, x_max, y_max, the first"),
        (boxes((1, 2, 2, 2)), r"boxes\[0\]: a box is x_min"),
        (boxes((640, 2, 650, 9)), r"boxes\[0\]: nothing of it is in the picture"),
        (boxes((-1e308, 2, 1e308, 9)), r"boxes\[0\]: it is too small or too large"),
    ],
)  # fmt: skip
def test_what_cannot_be_in_the_picture_is_named(shapes: Shapes, wrong: str) -> None:
    with pytest.raises(InvalidAnnotation, match=wrong):
        drawn(shapes, WIDTH, HEIGHT)


def test_what_the_edge_cuts_is_taken_also_with_its_centre_outside() -> None:
    assert len(drawn(circles((-10, 5, 20), (650, 490, 15), (320, 240, 800)), WIDTH, HEIGHT)) == 3
    assert len(drawn(boxes((-10, -10, 0.5, 0.5)), WIDTH, HEIGHT)) == 1


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "body: has to have circles or boxes, one of the two"),
        ({"circles": [], "boxes": []}, "body: has to have circles or boxes"),
        ({"circles": [], "boxes": None}, "body: has to have circles or boxes"),
        ({"circles": None}, "body: has to have circles or boxes"),
        ({"circles": [{"x": 1, "y": 1, "radius": 1}, {"x": 1, "y": 1}]}, "circles[1].radius: Field required"),
        ({"circles": [{"x": 1, "y": 1, "radius": 0}]}, "circles[0].radius: Input should be greater than 0"),
        ({"circles": [{"x": float("inf"), "y": 1, "radius": 1}]}, "circles[0].x: Input should be a finite"),
        ({"circles": [{"x": 1, "y": 1, "radius": 1, "r": 1}]}, "circles[0].r: Extra inputs are not"),
        ({"boxes": [[1, 2, 3]]}, "boxes[0]: List should have at least 4 items"),
        ({"boxes": [[0, 0, 1, 1]] * (MOST_CIRCLES + 1)}, "boxes: List should have at most 5000 items"),
    ],
)  # fmt: skip
def test_what_says_nothing_is_named(body: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Shapes.model_validate(body)
    (line,) = wrong_entries(refused.value)
    assert line.startswith(wrong)


def test_a_place_is_named_as_one_would_write_it() -> None:
    assert named("annotations", (17, "bbox", 0)) == "annotations[17].bbox[0]"
    assert named("", ("circles", 1)) == "circles[1]"


def test_a_record_has_what_was_drawn_and_each_circle_an_id_of_its_own() -> None:
    found = drawn(circles((1, 2, 3), (1, 2, 3)), WIDTH, HEIGHT)
    later = MOMENT + timedelta(days=1)
    record = annotation(ANNOTATION_ID, IMAGE_ID, "p", "anna", "a:b:2", later, "circles", found)
    assert (record.model_name, record.model_version) == ("a", "b:2")
    assert len(set(record.circles["object_id"].tolist())) == 2
    assert not any(found["object_id"].tolist()[0])  # what was given is left as it is
    again = CODEC.decode(CODEC.encode(record))
    assert isinstance(again, type(record))
    assert again.circles.tobytes() == record.circles.tobytes()
    alone = annotation(ANNOTATION_ID, IMAGE_ID, "p", "anna", None, later, "circles", found[:0])
    assert (alone.model_name, alone.model_version, len(alone.circles)) == (None, None, 0)
