"""Model circles:2: propose at a small scale, score by learned trees, refine, score again, keep one each."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.circles import CIRCLE, Circles, FloatArray, make
from detector.v2 import edges, forest, neighbours, selection
from detector.v2.compiled import Floats
from detector.v2.fine import Fine, refined
from detector.v2.propose import propose, reduced

LONG_SIDE = 640
"""Pixels to which larger images are reduced; there rims are refined."""

SEARCH_SIDE = 320
"""Pixels of the long side on which circles are sought: a quarter of the work finds more of them,
as the noise is gone."""

SMALLEST = 16
"""Pixels of a short side on which a circle can be told from noise."""

MIN_SCORE = 0.5

LEAST_SCORE = 0.02
"""What is doubted more is not even named."""

WORTH_A_LOOK = 0.02
"""First score from which the second stage looks at a candidate."""


def find_all(image: NDArray[np.uint8], scorer: forest.Scorer | None = None) -> Circles:
    """Find circles: coins, cells, lids; doubtful ones too, with scores that say so.

    image: (H, W, 3) RGB or (H, W) grey, uint8. Returns circles in its pixels, best first; a score is
    the share of such circles that are right. Raises ValueError for another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"an image is uint8 of shape (H, W, 3) or (H, W), not {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    middle = reduced(image, LONG_SIDE)
    small = reduced(middle, SEARCH_SIDE)
    if min(small.shape[:2]) < SMALLEST:
        return np.empty(0, dtype=CIRCLE)
    if middle.ndim == 2:
        middle, small = (coloured(plane) for plane in (middle, small))

    scorer = scorer or forest.scorer()
    candidates = propose(small)
    first = logistic(forest.score(scorer.first, candidates.features))
    looked = np.flatnonzero(first >= WORTH_A_LOOK)
    ellipses = scaled(candidates.ellipses[looked], small, middle)
    colours = edges.packed(edges.smooth(middle))
    fine = refined(colours, ellipses)
    features = second_features(candidates.features[looked], fine, first[looked])
    probability = logistic(scorer.slope * forest.score(scorer.second, features) + scorer.offset)
    kept = selection.select(fine.ellipses, probability, np.float32(LEAST_SCORE))
    found = refined(colours, fine.ellipses[kept]).ellipses.astype(np.float64)
    back = np.array([width / middle.shape[1], height / middle.shape[0]])
    found[:, :2] = (found[:, :2] + 0.5) * back
    found[:, 2:4] *= np.sqrt(back.prod())
    return make(found, probability[kept], (width, height))


def coloured(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


def logistic(odds: FloatArray) -> Floats:
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def second_features(own: Floats, fine: Fine, first: Floats) -> Floats:
    """What the second stage sees: a candidate's own features, small and fine, and its surroundings.

    own: (n, features) of the first stage; first: (n,) its scores.
    """
    around = np.zeros((len(own), len(neighbours.NAMES)), np.float32)
    neighbours.surroundings(fine.ellipses, first, around)
    return np.concatenate([own, fine.features, around], axis=1)


def scaled(ellipses: Floats, small: NDArray[np.uint8], middle: NDArray[np.uint8]) -> Floats:
    """Ellipses of one scale in pixels of another; pixel centres lie at whole numbers on both."""
    factor = np.array([middle.shape[1] / small.shape[1], middle.shape[0] / small.shape[0]])
    moved = ellipses.astype(np.float64)
    moved[:, :2] = (moved[:, :2] + 0.5) * factor - 0.5
    moved[:, 2:4] *= np.sqrt(factor.prod())
    return moved.astype(np.float32)
