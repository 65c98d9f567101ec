"""Model circles:1: propose by edges and by voting, score by the rim, keep one each."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.circles import CIRCLE, Circles, make
from detector.v1.candidates import candidates
from detector.v1.rim import scores
from detector.v1.selection import select

LONG_SIDE = 640
"""Pixels to which larger images are reduced; smaller ones stay as they are."""

SMALLEST = 16
"""Pixels of a short side on which a circle can be told from noise."""

MIN_SCORE = 0.6
"""Below this most of what is proposed on photographs is print and texture. It costs one rendered
disc in a hundred."""


def detect(image: NDArray[np.uint8]) -> Circles:
    """Find circles: coins, cells, lids.

    image: (H, W, 3) RGB or (H, W) grey, uint8. Returns circles in its pixels, best first; empty
    when there is none. Raises ValueError for another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"an image is uint8 of shape (H, W, 3) or (H, W), not {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / LONG_SIDE)
    size = (round(width / scale), round(height / scale))
    if min(size) < SMALLEST:
        return np.empty(0, dtype=CIRCLE)
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    planes = lightness_and_colour(reduced.astype(np.uint8, copy=False))

    found = candidates(planes)
    score = scores(planes, found)
    found, score = found[score >= MIN_SCORE], score[score >= MIN_SCORE]
    kept = select(found[:, :2], np.sqrt(found[:, 2] * found[:, 3]), score)
    ellipses = found[kept].astype(float)
    back = np.array([width / size[0], height / size[1]])
    ellipses[:, :2] = (ellipses[:, :2] + 0.5) * back
    ellipses[:, 2:4] *= np.sqrt(back.prod())
    return make(ellipses, score[kept], (width, height))


def lightness_and_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey, and for RGB how far each pixel's colour is from the commonest: (H, W, 1 or 2).

    A copper coin on grey stone has no edge in lightness, but one in colour.
    """
    if image.ndim == 2:
        return image[..., None]
    chroma = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 1:].astype(np.float32)
    distance = np.linalg.norm(chroma - np.median(chroma[::4, ::4], axis=(0, 1)), axis=2)
    stretched = np.clip(4 * distance, 0, 255).astype(np.uint8)  # Lab uses few of its 256 levels
    return np.dstack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), stretched])
