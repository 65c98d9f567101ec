"""Discs drawn where one knows exactly where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from detector.circles import FloatArray

Image: TypeAlias = NDArray[np.uint8]
Ellipse: TypeAlias = tuple[float, float, float, float, float]
"""x, y, half axes a and b, angle: as rows of `detector.circles.make`."""
Colour: TypeAlias = tuple[float, float, float]

GREY: Colour = (70, 70, 70)
SILVER: Colour = (190, 190, 190)


def disc(x: float, y: float, radius: float) -> Ellipse:
    return x, y, radius, radius, 0.0


def drawn(
    ellipses: Sequence[Ellipse],
    width: int = 640,
    height: int = 480,
    *,
    colour: Colour = SILVER,
    ground: Colour = GREY,
    grain: float = 2.0,
) -> Image:
    """Discs on one another, on plain ground, with a sensor's noise of standard deviation `grain`."""
    canvas = np.broadcast_to(ground, (height, width, 3)).astype(float)
    for n, ellipse in enumerate(ellipses):
        cover = covered(ellipse, width, height)[..., None]
        canvas += cover * (np.array(colour) * (1 - 0.25 * (n % 2)) - canvas)
    canvas += np.random.default_rng(3).normal(0, 1, (height, width, 1)) * grain
    return np.asarray(np.clip(np.rint(canvas), 0, 255), np.uint8)


def covered(ellipse: Ellipse, width: int, height: int) -> FloatArray:
    """The part of each pixel, (H, W), inside an ellipse; pixel (0, 0) covers [0, 1) x [0, 1)."""
    x, y, a, b, angle = ellipse
    dx, dy = np.meshgrid(np.arange(width) + 0.5 - x, np.arange(height) + 0.5 - y)
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    rho = np.hypot(u / a, v / b)
    distance = (1 - rho) * rho / np.maximum(np.hypot(u / a**2, v / b**2), 1e-9)  # to first order
    return np.asarray(np.clip(distance + 0.5, 0, 1))
