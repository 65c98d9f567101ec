"""Circles of many images, made up so that ties, duplicates and images without any are common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector.circles import CIRCLE, Circles
from streams.evaluation.found import Found, Longs

Five = tuple[float, float, float, float]
"""x, y, radius, score."""


def found(*images: Sequence[Five]) -> Found:
    """The circles of each image, with boxes that the left and upper edge of the image clip."""
    offsets = np.concatenate([[0], np.cumsum([len(image) for image in images])]).astype(np.int64)
    rows = np.array([row for image in images for row in image], np.float32).reshape(-1, 4)
    x, y, radius, score = rows.T.copy()
    return Found(offsets, x, y, radius, score, boxes(x, y, radius))


def boxes(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    low = np.maximum(np.column_stack([x - radius, y - radius]), 0)
    return np.hstack([low, np.column_stack([x + radius, y + radius])])


def crowded(images: int, seed: int) -> tuple[Found, Found]:
    """Whole numbers in little room, so that many circles overlap equally; some in both, some twice in one."""
    return _crowd(images, seed), _crowd(images, seed + 1)


def _crowd(images: int, seed: int) -> Found:
    chance = np.random.default_rng(seed)
    counts = np.where(chance.random(images) < 0.1, 0, chance.integers(0, 13, images))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows = np.column_stack(
        [chance.integers(1, [14, 14, 8], (offsets[-1], 3)), chance.integers(0, 5, offsets[-1]) / 4]
    ).astype(np.float32)
    twice = np.flatnonzero(chance.random(offsets[-1]) < 0.1)
    twice = twice[~np.isin(twice, offsets)]  # the one before is of the same image
    rows[twice] = rows[twice - 1]
    x, y, radius, score = rows.T.copy()
    return Found(offsets, x, y, radius, score, boxes(x, y, radius))


def of_image(many: Found, image: int) -> Circles:
    """As the detector has them."""
    assert many.box is not None
    part = slice(many.offsets[image], many.offsets[image + 1])
    circles = np.zeros(part.stop - part.start, CIRCLE)
    for name in ("x", "y", "radius", "score"):
        circles[name] = getattr(many, name)[part]
    for name, column in zip(("x_min", "y_min", "x_max", "y_max"), many.box[part].T, strict=True):
        circles[name] = column
    return circles


def shuffled(many: Found, seed: int) -> tuple[Found, Longs]:
    """The same circles in another order within each image, and where each came from, (circles,)."""
    assert many.box is not None
    order = np.lexsort([np.random.default_rng(seed).random(len(many.x)), many.images])
    columns = (column[order] for column in (many.x, many.y, many.radius, many.score, many.box))
    return Found(many.offsets, *columns), order
