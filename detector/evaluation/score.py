"""What each image contributes to the measures, for itself: any set of images is then a sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detector.circles import Circles, FloatArray
from detector.evaluation.average_precision import Ranked, rank
from detector.evaluation.matching import match
from detector.evaluation.overlap import box_iou, boxes, circle_iou

if TYPE_CHECKING:
    from detector.evaluation.observe import (
        Observation,
    )  # with it come all models, which who compares has no use for

THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9)
"""Of IoU, from which a found circle is the true one."""

BIN_EDGES = np.linspace(0, 1, 11)
"""Of scores, for calibration."""

RIGHT = 0.5
"""The box IoU from which a circle counts as found in errors, calibration and pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageScore:
    """One image's part of every measure. Of the circles found all are ranked, those from the
    least score on are counted.

    box_hits, circle_hits: (thresholds,) pairs at each IoU; centre_error_px, radius_error_px: (pairs,)
    at box IoU .5; right: (found,) bool, score: (found,).
    """

    found: int
    annotated: int
    box_hits: NDArray[np.intp]
    circle_hits: NDArray[np.intp]
    centre_error_px: FloatArray
    radius_error_px: FloatArray
    score: FloatArray
    right: NDArray[np.bool_]
    box_rank: Ranked
    circle_rank: Ranked
    latency_ms: float


def score(observations: Sequence[Observation], min_score: float) -> list[ImageScore]:
    """Every image scored; circles below `min_score` only count where they are ranked."""
    return score_circles(
        [observation.found for observation in observations],
        [observation.image.truth for observation in observations],
        [observation.latency_ms for observation in observations],
        min_score,
    )


def score_circles(
    found: Sequence[Circles], truth: Sequence[Circles], latency_ms: Sequence[float], min_score: float
) -> list[ImageScore]:
    """Every image scored, of which one what was found in it, what is true and how long it took."""
    ranks = (rank(found, truth, circles=False), rank(found, truth, circles=True))
    return [
        score_image(mine, true, took, min_score, *ranked)
        for mine, true, took, *ranked in zip(found, truth, latency_ms, *ranks, strict=True)
    ]


def score_image(
    found: Circles,
    truth: Circles,
    latency_ms: float,
    min_score: float,
    box_rank: Ranked,
    circle_rank: Ranked,
) -> ImageScore:
    found = found[found["score"] >= min_score]
    by_box, by_circle = box_iou(boxes(found), boxes(truth)), circle_iou(found, truth)
    pairs = match(by_box, RIGHT)
    mine, theirs = found[pairs.found], truth[pairs.truth]
    right = np.zeros(len(found), bool)
    right[pairs.found] = True
    return ImageScore(
        found=len(found),
        annotated=len(truth),
        box_hits=np.array([len(match(by_box, threshold).found) for threshold in THRESHOLDS]),
        circle_hits=np.array([len(match(by_circle, threshold).found) for threshold in THRESHOLDS]),
        centre_error_px=np.hypot(mine["x"] - theirs["x"], mine["y"] - theirs["y"]).astype(float),
        radius_error_px=np.abs(mine["radius"] - theirs["radius"]).astype(float),
        score=found["score"].astype(float),
        right=right,
        box_rank=box_rank,
        circle_rank=circle_rank,
        latency_ms=latency_ms,
    )
