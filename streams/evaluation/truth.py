"""Two versions against ground truth: the figures of each, and of their difference, on the same drawn images.

The ruler is that of `circles evaluate` (`detector.evaluation`). Each figure and difference is estimated over
the same 1,000 draws of the images (paired percentile bootstrap), so what is hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detector.circles import Circles
from detector.evaluation.bootstrap import Statistic
from detector.evaluation.measures import of_bins, of_counts, of_errors, of_hits, of_ranks
from detector.evaluation.score import THRESHOLDS, ImageScore, score_circles
from streams.evaluation.groups import Counted, OfGroup, counted
from streams.evaluation.measures import Measure, figures, verdict

SHOWN = ("0.5", "0.7", "0.8", "0.9")
"""IoUs that precision, recall and F1 are said of."""
UNKNOWN = "unknown"


class Annotated(NamedTuple):
    """Images with ground truth: the source of each and its hour of upload in UTC, None where nobody knows,
    its true circles, and what both versions found in it."""

    sources: Sequence[str | None]
    hours: Sequence[int | None]
    truth: Sequence[Circles]
    a: Sequence[Circles]
    b: Sequence[Circles]


@dataclass(frozen=True, slots=True)
class OfTruth:
    """Measures by box IoU where not said otherwise. F1 of groups is at IoU .5: of sources the worst for b
    first, of bands of radii and hours of the day in their order."""

    images: int
    annotated: int
    measures: list[Measure]
    f1_by_source: list[OfGroup]
    f1_by_radius: list[OfGroup]
    f1_by_hour: list[OfGroup]

    def of(self, name: str) -> Measure:
        return next(measure for measure in self.measures if measure.name == name)


def against_truth(images: Annotated, min_score_a: float = 0.0, min_score_b: float = 0.0) -> OfTruth:
    """How good both are. min_score: circles below are ranked for average precision, and not counted."""
    unknown = [0.0] * len(images.truth)
    a = score_circles(images.a, images.truth, unknown, min_score_a)
    b = score_circles(images.b, images.truth, unknown, min_score_b)
    groups = Counted(
        counted(images.a, images.truth, min_score_a), counted(images.b, images.truth, min_score_b)
    )
    by_source = groups.by([source or UNKNOWN for source in images.sources])
    hours = [UNKNOWN if hour is None else f"{hour:02}:00Z" for hour in images.hours]
    return OfTruth(
        images=len(images.truth),
        annotated=sum(len(circles) for circles in images.truth),
        measures=list(_measures(a, b)),
        f1_by_source=sorted(by_source, key=lambda each: (np.nan_to_num(each.difference.value), each.name)),
        f1_by_radius=groups.by_band(),
        f1_by_hour=groups.by(hours),
    )


def _measures(a: Sequence[ImageScore], b: Sequence[ImageScore]) -> Iterator[Measure]:
    """Each statistic of both, and of b less a."""
    for names, statistic, cells in STATISTICS:
        size = max(cells(a), cells(b))
        found = figures(statistic(a), statistic(b), len(a), size)
        for name, (of_a, of_b, difference) in zip(names, found, strict=True):
            if name:
                yield Measure(name, of_a, of_b, difference, verdict(name, difference))


def _by_box(images: Sequence[ImageScore]) -> Statistic:
    return of_hits(images, np.array([image.box_hits for image in images]))


def _by_circle(images: Sequence[ImageScore]) -> Statistic:
    return of_hits(images, np.array([image.circle_hits for image in images]))


def _names(of: str = "") -> list[str]:
    """Of the figures of `of_hits`; empty for those that are not said."""
    said = [str(threshold) for threshold in THRESHOLDS]
    return [
        f"{of}{measure} @ {iou}" if measure != "jaccard" and iou in SHOWN else ""
        for measure in ("precision", "recall", "f1", "jaccard")
        for iou in said
    ]


def _few(_: Sequence[ImageScore]) -> int:
    return 1


STATISTICS: Sequence[
    tuple[Sequence[str], Callable[[Sequence[ImageScore]], Statistic], Callable[[Sequence[ImageScore]], int]]
] = (
    (_names(), _by_box, _few),
    (_names("circle "), _by_circle, _few),
    (
        ("ap @ 0.5", "ap @ 0.5:0.95"),
        lambda images: of_ranks(images, [image.box_rank for image in images]),
        lambda images: sum(len(image.box_rank.score) for image in images),
    ),
    (
        ("circle ap @ 0.5", "circle ap @ 0.5:0.95"),
        lambda images: of_ranks(images, [image.circle_rank for image in images]),
        lambda images: sum(len(image.circle_rank.score) for image in images),
    ),
    (("count error",), of_counts, _few),
    (
        ("centre error, median px", "centre error, mean px"),
        lambda images: of_errors([image.centre_error_px for image in images]),
        lambda images: sum(len(image.centre_error_px) for image in images),
    ),
    (
        ("radius error, median px", "radius error, mean px"),
        lambda images: of_errors([image.radius_error_px for image in images]),
        lambda images: sum(len(image.radius_error_px) for image in images),
    ),
    (("calibration error",), of_bins, _few),
)
"""Names of figures, the statistic that gives them, and how many numbers it works on per sample."""
MEASURES = [name for names, *_ in STATISTICS for name in names if name]
