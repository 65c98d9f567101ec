"""The array of circles that every model returns, and the laws it keeps."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]

FIELDS = ("x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max")

CIRCLE = np.dtype([(field, np.float32) for field in FIELDS])
"""One circle, in pixels of the image as stored; pixel (0, 0) covers [0, 1) x [0, 1).

Centre and radius are those of the whole circle (of one seen at an angle: the circle of equal
area). The box bounds its outline and is clipped to the image.
"""

Circles: TypeAlias = NDArray[np.void]
"""Shape (n,), dtype CIRCLE, highest score first."""


def make(
    centre: FloatArray,
    radius: FloatArray,
    score: FloatArray,
    half_box: FloatArray,
    extent: tuple[int, int],
) -> Circles:
    """Box the circles, order them by score, leave out what breaks a law of `is_valid`.

    centre, half_box: (n, 2); radius, score: (n,); extent: (width, height) of the image. Pixels.
    """
    found = np.zeros(len(centre), dtype=CIRCLE)
    found["x"], found["y"] = centre[:, 0], centre[:, 1]
    found["radius"], found["score"] = radius, score
    low = np.clip(centre - half_box, 0, extent)
    high = np.clip(centre + half_box, 0, extent)
    found["x_min"], found["y_min"] = low[:, 0], low[:, 1]
    found["x_max"], found["y_max"] = high[:, 0], high[:, 1]
    found = found[is_valid(found)]
    return found[np.argsort(-found["score"], kind="stable")]


def is_valid(found: Circles) -> NDArray[np.bool_]:
    """Finite, a positive radius, a box with an area, a score in [0, 1]: (n,)."""
    finite = np.all([np.isfinite(found[field]) for field in FIELDS], axis=0)
    boxed = (found["x_min"] < found["x_max"]) & (found["y_min"] < found["y_max"])
    scored = (found["score"] >= 0) & (found["score"] <= 1)
    return np.asarray(finite & boxed & scored & (found["radius"] > 0))
