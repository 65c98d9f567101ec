"""Ground truth as people give it: circles or boxes of an image, checked, and the record of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid5

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from streams.circles import CIRCLE, Circles, right_circles
from streams.reevaluation import DrawnAs, ImageAnnotated
from streams.version import parted, spelled

MOST_CIRCLES = 5_000
"""Of one image: they fit a message four times."""
MOST_NAME = 200
"""Characters of an annotator's name, and of a model's with its version."""
_ON_ONE_LINE = r"[^\x00-\x1f\x7f-\x9f]"
NAME = rf"^[^\x00-\x20\x7f-\x9f]{_ON_ONE_LINE}*$"
MODEL = rf"^[^:\x00-\x20\x7f-\x9f]+:{_ON_ONE_LINE}+$"


class InvalidAnnotation(ValueError):
    """What somebody drew cannot be the circles of that image; `index` is that of the entry."""

    def __init__(self, drawn_as: DrawnAs, index: int, reason: str) -> None:
        super().__init__(f"{drawn_as}[{index}]: {reason}")
        self.index, self.reason = index, reason


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError("has to be text on one line that begins with no blank")
    return text


def _model(text: str) -> str:
    if not re.fullmatch(MODEL, text):
        raise ValueError("has to be a model with its version, like circles:2")
    name, _, version = text.partition(":")
    return f"{name}:{spelled(*parted(version))}"


Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=MOST_NAME), AfterValidator(_name)]
Model = Annotated[str, Field(max_length=MOST_NAME), AfterValidator(_model)]
Box = Annotated[list[Number], Field(min_length=4, max_length=4)]


class Circle(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: Number
    y: Number
    radius: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Shapes(BaseModel):
    """All circles of an image, in pixels of the original, or their boxes: x_min, y_min, x_max, y_max."""

    circles: Annotated[list[Circle], Field(max_length=MOST_CIRCLES)] | None = None
    boxes: Annotated[list[Box], Field(max_length=MOST_CIRCLES)] | None = None

    @model_validator(mode="after")
    def _either(self) -> Shapes:
        given = self.model_fields_set & {"circles", "boxes"}
        if len(given) != 1 or (self.circles is None) == (self.boxes is None):
            raise ValueError("has to have circles or boxes, one of the two; an empty list: none are there")
        return self

    @property
    def drawn_as(self) -> DrawnAs:
        return "boxes" if self.circles is None else "circles"


@np.errstate(over="ignore", invalid="ignore")  # what is too large is found, and named
def drawn(shapes: Shapes, width: int, height: int) -> Circles:
    """The circles of an image of that size, without their ids. Raises InvalidAnnotation.

    A box's circle is the one within it: its centre, and as radius half of the mean side, as the evaluator has
    it. Something of each has to be in the picture, and no more is asked: coins are cut by the edge, their
    centres may be outside, and boxes that are drawn by hand reach over it. What is wholly outside, or wider
    than two diagonals, is of another picture or another scale.
    """
    circles = _of_boxes(shapes.boxes or ()) if shapes.circles is None else _of_circles(shapes.circles)
    x_min, y_min, x_max, y_max = (circles[name] for name in ("x_min", "y_min", "x_max", "y_max"))
    ordered = (x_min < x_max) & (y_min < y_max) if shapes.boxes else np.ones(len(circles), bool)
    inside = (x_min < width) & (y_min < height) & (x_max > 0) & (y_max > 0)
    size = np.maximum(x_max - x_min, y_max - y_min)
    for right, wrong in (
        (ordered, "a box is x_min, y_min, x_max, y_max, the first two below the others"),
        (right_circles(circles), "it is too small or too large for numbers of 32 bits"),
        (inside, f"nothing of it is in the picture, which is {width} x {height} pixels"),
        (
            size <= 2 * np.hypot(width, height),
            f"it is far larger than the picture, {width} x {height} pixels",
        ),
    ):
        if not right.all():
            raise InvalidAnnotation(shapes.drawn_as, int(np.argmin(right)), wrong)
    return circles


# Numbers are rounded to what is kept before others are made of them: so what was exported is read as equal.


def _of_circles(found: Sequence[Circle]) -> Circles:
    x, y, radius = np.array([(c.x, c.y, c.radius) for c in found], "<f4").reshape(-1, 3).T
    return _block(x, y, radius, x - radius, y - radius, x + radius, y + radius)


def _of_boxes(boxes: Sequence[Sequence[float]]) -> Circles:
    x_min, y_min, x_max, y_max = np.array(boxes, "<f4").reshape(-1, 4).T
    radius = (x_max - x_min + y_max - y_min) / 4
    return _block((x_min + x_max) / 2, (y_min + y_max) / 2, radius, x_min, y_min, x_max, y_max)


def _block(*columns: Any) -> Circles:
    circles = np.zeros(len(columns[0]), CIRCLE)
    names = ("x", "y", "radius", "x_min", "y_min", "x_max", "y_max")
    for name, column in zip(names, columns, strict=True):
        circles[name] = column
    circles["score"] = 1
    return circles


def annotation(
    annotation_id: UUID,
    image_id: UUID,
    project_id: str,
    annotator: str,
    model: str | None,
    annotated_at: datetime,
    drawn_as: DrawnAs,
    circles: Circles,
) -> ImageAnnotated:
    """The record. model: of the prediction that it was made from, as `name:version`."""
    name, _, version = (model or "").partition(":")
    ids = [uuid5(annotation_id, str(index)).bytes for index in range(len(circles))]
    circles = circles.copy()
    circles["object_id"] = np.array(ids, "V16")
    return ImageAnnotated(
        annotation_id=annotation_id,
        image_id=image_id,
        project_id=project_id,
        annotator=annotator,
        annotated_at=annotated_at,
        model_name=name or None,
        model_version=version or None,
        drawn_as=drawn_as,
        circles=circles,
    )


def same(drawn_as: DrawnAs, circles: Circles, other_as: DrawnAs, others: Circles) -> bool:
    """Whether two annotations say the same; their circles may be in any order, and have ids of their own."""
    if not len(circles) and not len(others):
        return True
    return drawn_as == other_as and content(circles) == content(others)


def content(circles: Circles) -> list[bytes]:
    """The circles without their ids, in an order of their own."""
    return sorted(circle.tobytes()[16:] for circle in circles)


def wrong_entries(error: ValidationError, where: str = "") -> list[str]:
    """What is wrong, one line each: `circles[3].radius: Input should be greater than 0`."""
    return [f"{named(where, entry['loc'])}: {_said(entry)}" for entry in error.errors(include_url=False)]


def named(where: str, loc: Sequence[str | int]) -> str:
    """A place in nested data: `annotations[17].bbox`."""
    for part in loc:
        where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else part
    return where or "body"


def _said(entry: Any) -> str:
    return str(entry["msg"]).removeprefix("Value error, ")
