"""What comparisons look like, for the OpenAPI document alone."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from query_api.schemas import Answer


class ComparisonCounts(Answer):
    """Images that both versions have looked at, and the circles in them."""

    images: int
    unchanged: int
    changed: int
    only_moved: int
    a_circles: int
    b_circles: int
    matched: int
    gained: int
    lost: int
    moved: int
    worst_image: UUID


class CountsOfSource(ComparisonCounts):
    source: str | None


class CountsOfRadius(ComparisonCounts):
    from_px: float
    below_px: float | None


class CountsOfHour(ComparisonCounts):
    hour: datetime | None


class Spread(Answer):
    """Of the sizes of changes; `mean` is with their direction."""

    median: float
    p90: float
    max: float
    mean: float
    max_image: UUID


class ImageChange(Answer):
    image_id: UUID
    source_id: str | None
    uploaded_at: datetime | None
    a_circles: int
    b_circles: int
    gained: int
    lost: int
    moved: int
    largest_shift_px: float
    largest_radius_change_px: float
    largest_score_change: float


class ComparedImage(ImageChange):
    """`changed`: with a circle gained, lost or moved; `only_moved`: with none gained or lost then."""

    matched: int
    changed: bool
    only_moved: bool


class ComparedImages(Answer):
    """`total`: how many there are, of which these are the worst."""

    images: list[ComparedImage]
    count: int
    total: int
    snapshot: str | None
    watermark: str | None
    age_s: float | None


class Figure(Answer):
    """A value and its 95 % interval; null where there is nothing to measure it on."""

    value: float | None
    low: float | None
    high: float | None


class Measure(Answer):
    """A figure of both versions, what b has more of it, and whether that is better."""

    name: str
    a: Figure
    b: Figure
    difference: Figure
    b_is: Literal["better", "worse", "may be chance"]


class MeasureOfGroup(Measure):
    images: int
    annotated: int


class Truth(Answer):
    """On those of the images that have ground truth; `f1_by_hour` is by hour of the day, in UTC."""

    images: int
    annotated: int
    measures: list[Measure]
    f1_by_source: list[MeasureOfGroup]
    f1_by_radius: list[MeasureOfGroup]
    f1_by_hour: list[MeasureOfGroup]


class Comparison(Answer):
    """How version b differs from a. `snapshot` is for callers of all projects."""

    a: str
    b: str
    snapshot: int | None
    filters: dict[str, str]
    iou: Literal["circle", "box"]
    min_iou: float
    moved_px: float
    only_a: int
    only_b: int
    only_a_images: list[UUID]
    only_b_images: list[UUID]
    counts: ComparisonCounts
    share_unchanged: float
    shift_px: Spread | None
    radius_change_px: Spread | None
    score_change: Spread | None
    by_source: list[CountsOfSource]
    by_radius: list[CountsOfRadius]
    by_hour: list[CountsOfHour]
    worst: list[ImageChange]
    truth: Truth | None
