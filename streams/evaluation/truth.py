"""Two versions against ground truth: the figures of each, and of their difference, on the same drawn images.

The ruler is that of `circles evaluate` (`detector.evaluation`). Each figure and difference is estimated over
the same 1,000 draws of the images (paired percentile bootstrap), so what is hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from detector.circles import Circles
from detector.evaluation.bootstrap import Figure, Statistic, estimate
from detector.evaluation.measures import of_bins, of_counts, of_errors, of_hits, of_ranks
from detector.evaluation.score import THRESHOLDS, ImageScore, score_circles

SHOWN = ("0.5", "0.7", "0.8", "0.9")
"""IoUs that precision, recall and F1 are said of."""
Verdict: TypeAlias = Literal["better", "worse", "may be chance"]
LESS_IS_BETTER = ("count error", "centre error", "radius error", "calibration error")


class Annotated(NamedTuple):
    """Images with ground truth: the source of each, its true circles, and what both versions found in it."""

    sources: Sequence[str | None]
    truth: Sequence[Circles]
    a: Sequence[Circles]
    b: Sequence[Circles]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of both versions and what b has more of it, each with its 95 % interval."""

    name: str
    a: Figure
    b: Figure
    difference: Figure
    b_is: Verdict


@dataclass(frozen=True, slots=True)
class OfTruth:
    """Measures by box IoU where not said otherwise; `f1_by_source` at IoU .5, the worst for b first."""

    images: int
    annotated: int
    measures: list[Measure]
    f1_by_source: list[Measure]

    def of(self, name: str) -> Measure:
        return next(measure for measure in self.measures if measure.name == name)


def against_truth(images: Annotated, min_score_a: float = 0.0, min_score_b: float = 0.0) -> OfTruth:
    """How good both are. min_score: circles below are ranked for average precision, and not counted."""
    unknown = [0.0] * len(images.truth)
    a = score_circles(images.a, images.truth, unknown, min_score_a)
    b = score_circles(images.b, images.truth, unknown, min_score_b)
    return OfTruth(
        images=len(images.truth),
        annotated=sum(len(circles) for circles in images.truth),
        measures=list(_measures(a, b)),
        f1_by_source=_by_source(images.sources, a, b),
    )


def _measures(a: Sequence[ImageScore], b: Sequence[ImageScore]) -> Iterator[Measure]:
    """Each statistic of both, and of b less a."""
    for names, statistic, cells in STATISTICS:
        of_a, of_b = statistic(a), statistic(b)
        size = max(cells(a), cells(b))
        found = [estimate(each, len(a), size) for each in (of_a, of_b, _less(of_b, of_a))]
        for name, *figures in zip(names, *found, strict=True):
            if name:
                yield _measure(name, *figures)


def _less(of_b: Statistic, of_a: Statistic) -> Statistic:
    return lambda weights: of_b(weights) - of_a(weights)


def _measure(name: str, a: Figure, b: Figure, difference: Figure) -> Measure:
    sign = -1 if name.startswith(LESS_IS_BETTER) else 1
    least, most = sorted((sign * difference.low, sign * difference.high))
    verdict: Verdict = "better" if least > 0 else "worse" if most < 0 else "may be chance"
    return Measure(name, a, b, difference, verdict)


def _by_source(
    sources: Sequence[str | None], a: Sequence[ImageScore], b: Sequence[ImageScore]
) -> list[Measure]:
    found = []
    for source in sorted(set(sources), key=str):
        here = [place for place, each in enumerate(sources) if each == source]
        mine, theirs = [a[place] for place in here], [b[place] for place in here]
        statistics = _f1(mine), _f1(theirs)
        figures = [estimate(each, len(here)) for each in (*statistics, _less(*reversed(statistics)))]
        at = THRESHOLDS.index(0.5)
        found.append(_measure(f"{source}", *(figure[at] for figure in figures)))
    return sorted(found, key=lambda measure: (np.nan_to_num(measure.difference.value), measure.name))


def _f1(images: Sequence[ImageScore]) -> Statistic:
    whole, n = _by_box(images), len(THRESHOLDS)
    return lambda weights: whole(weights)[:, 2 * n : 3 * n]


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
