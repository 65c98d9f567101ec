"""Circles as records and answers have them: one array of fixed-size items, ids and pixels."""

from __future__ import annotations

from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

CIRCLE = np.dtype(
    [
        ("object_id", "V16"),
        ("x", "<f4"),
        ("y", "<f4"),
        ("radius", "<f4"),
        ("score", "<f4"),
        ("x_min", "<f4"),
        ("y_min", "<f4"),
        ("x_max", "<f4"),
        ("y_max", "<f4"),
    ]
)
"""One circle: id, then pixels of the original image and a score from 0 to 1. 48 bytes, as in Avro."""

Circles = NDArray[np.void]
"""Shape (n,), dtype CIRCLE."""


def invalid_circles(circles: Circles) -> str:
    """What is wrong with the first circle that cannot be one; empty when all can."""
    right = right_circles(circles)
    if right.all():
        return ""
    index = int(np.argmin(right))
    names = (CIRCLE.names or ())[1:]
    return f"circle {index} is no circle: " + ", ".join(f"{n}={circles[n][index]:g}" for n in names)


def right_circles(circles: Circles) -> NDArray[np.bool_]:
    """Which can be circles, (n,): finite, a radius above 0, a score of 0 to 1, a box that is not empty."""
    # Past the id, as one plain matrix.
    numbers = circles.view("<f4").reshape(len(circles), CIRCLE.itemsize // 4)[:, 4:]
    x_min, y_min, x_max, y_max = numbers[:, 4:].T
    radius, score = numbers[:, 2], numbers[:, 3]
    right = np.isfinite(numbers).all(axis=1) & (radius > 0) & (score >= 0) & (score <= 1)
    return np.asarray(right & (x_min < x_max) & (y_min < y_max))


def object_ids(image_id: UUID, model_name: str, model_version: str, count: int) -> list[UUID]:
    """Ids of a detection's circles, equal at every redelivery (UUIDv5 over image, model and index)."""
    return [uuid5(image_id, f"{model_name}:{model_version}/{index}") for index in range(count)]
