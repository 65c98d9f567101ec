"""The array of circles that every model returns, and the laws it keeps."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]

FIELDS = (
    "x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max", "major", "minor", "angle",
)  # fmt: skip

CIRCLE = np.dtype([(field, np.float32) for field in FIELDS])
"""One circle, in pixels of the image as stored; pixel (0, 0) covers [0, 1) x [0, 1).

Centre and radius are those of the whole circle (of one seen at an angle: the circle of equal
area). The box bounds its outline and is clipped to the image. The outline is the ellipse with
half axes `major` >= `minor`, the major one turned by `angle` radians from x towards y, in
[-pi/2, pi/2); of a circle seen from above both are its radius and the angle is 0.
"""

Circles: TypeAlias = NDArray[np.void]
"""Shape (n,), dtype CIRCLE, highest score first."""


def make(ellipses: FloatArray, score: FloatArray, extent: tuple[int, int]) -> Circles:
    """Box the circles, order them by score, leave out what breaks a law of `is_valid`.

    ellipses: (n, 5) rows of x, y, half axes a and b, and the angle of a, in pixels and radians;
    score: (n,); extent: (width, height) of the image.
    """
    x, y, a, b, angle = np.asarray(ellipses, dtype=float).reshape(-1, 5).T
    cos, sin = np.cos(angle), np.sin(angle)
    half_width, half_height = np.hypot(a * cos, b * sin), np.hypot(a * sin, b * cos)
    width, height = extent
    turned = np.where(a >= b, angle, angle + np.pi / 2)
    columns = (
        x, y, np.sqrt(np.maximum(a * b, 0)), score,
        np.clip(x - half_width, 0, width), np.clip(y - half_height, 0, height),
        np.clip(x + half_width, 0, width), np.clip(y + half_height, 0, height),
        np.maximum(a, b), np.minimum(a, b),
        np.where(a == b, 0, (turned + np.pi / 2) % np.pi - np.pi / 2),
    )  # fmt: skip
    found = np.zeros(len(x), dtype=CIRCLE)
    for field, column in zip(FIELDS, columns, strict=True):
        found[field] = column
    found = found[is_valid(found)]
    return found[np.argsort(-found["score"], kind="stable")]


def is_valid(found: Circles) -> NDArray[np.bool_]:
    """Finite, a positive radius, a box with an area, a score in [0, 1]: (n,)."""
    finite = np.all([np.isfinite(found[field]) for field in FIELDS], axis=0)
    boxed = (found["x_min"] < found["x_max"]) & (found["y_min"] < found["y_max"])
    scored = (found["score"] >= 0) & (found["score"] <= 1)
    return np.asarray(finite & boxed & scored & (found["radius"] > 0))


def overlap(distance: FloatArray, radius: FloatArray, other: FloatArray | float) -> FloatArray:
    """The area that circles share with another (or each with its own), by the smaller one's area: (n,)."""
    small, large = np.minimum(radius, other), np.maximum(radius, other)
    # Between touching from inside and from outside the shared area is two circular segments.
    apart = np.clip(distance, np.maximum(large - small, 1e-9), large + small)
    to_chord_small = (apart**2 + small**2 - large**2) / (2 * apart)
    to_chord_large = apart - to_chord_small
    shared = segment(small, to_chord_small) + segment(large, to_chord_large)
    return np.clip(shared / (np.pi * small**2), 0, 1)


def segment(radius: FloatArray, to_chord: FloatArray) -> FloatArray:
    """Area cut from circles by chords at a (signed) distance from their centres: (n,)."""
    cosine = np.clip(to_chord / radius, -1, 1)
    return radius**2 * (np.arccos(cosine) - cosine * np.sqrt(1 - cosine**2))
