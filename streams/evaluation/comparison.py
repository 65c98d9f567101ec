"""What a comparison says: figures, each with images that lead to what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from streams.evaluation.matching import Iou
from streams.evaluation.truth import OfTruth


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Images that both versions have looked at, and the circles in them."""

    images: int
    unchanged: int
    changed: int
    """Images in which a circle was gained, lost or moved."""
    only_moved: int
    """Of those changed: with nothing gained or lost."""
    a_circles: int
    b_circles: int
    matched: int
    gained: int
    """Only b has them."""
    lost: int
    """Only a has them."""
    moved: int
    """Of those matched."""
    worst_image: UUID
    """With the most gained and lost, of those the one with the largest shift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfSource(Counts):
    """None: of images that the view has no upload of."""

    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfHour(Counts):
    """Of images uploaded in an hour that begins then."""

    hour: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRadius(Counts):
    """Of circles with a radius from one to below another, and the images that have such."""

    from_px: float
    below_px: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the sizes of changes, whatever their direction; `mean` is with it: what b has more."""

    median: float
    p90: float
    max: float
    mean: float
    max_image: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChange:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How b differs from a. Spreads are over all matched circles, None where there is none."""

    a: str
    b: str
    snapshot: int | None
    """None: for who is not told what others do, which it counts."""
    filters: dict[str, Any]
    iou: Iou
    min_iou: float
    moved_px: float
    only_a: int
    """Images that b has not looked at."""
    only_b: int
    only_a_images: list[UUID]
    """Some of them."""
    only_b_images: list[UUID]
    counts: Counts
    share_unchanged: float
    shift_px: Spread | None
    radius_change_px: Spread | None
    score_change: Spread | None
    by_source: list[OfSource]
    by_radius: list[OfRadius]
    by_hour: list[OfHour]
    worst: list[ImageChange]
    """Images that changed: the most gained and lost first, then the largest shift."""
    truth: OfTruth | None
    """On those of the images that have ground truth; None: none has."""
