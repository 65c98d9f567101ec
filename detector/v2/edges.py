"""Colour gradients and thin edges of a small picture."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, Packed, Real, compiled

CHROMA = np.float32(1.5)
"""Weight of the two colour planes, whose range is smaller than that of lightness."""

FLOOR = 6.0
"""Sobel magnitude (8 grey levels a pixel are 64) added to a neighbourhood's mean: what is weaker
than sensor noise is no edge, however smooth its surroundings."""

NEIGHBOURHOOD = 31
"""Pixels over which the mean gradient is taken."""

MIN_RATIO = 0.9
"""Of an edge's gradient to its neighbourhood's mean (and FLOOR)."""

BINS = 512
BINS_PER_RATIO = 32

BORDER = 2
"""Pixels at the frame where no edge point is sought, as blur and gradient make up what lies outside."""

Gradient = NDArray[np.int16]


class Picture(NamedTuple):
    """What later steps look at. All (H, W), pixel centres at whole numbers.

    colours: as `packed`, slightly blurred; gradient: (H, W, 2), Sobel along x and y of whichever plane
    changes most; ratio: float32, gradient magnitude against its neighbourhood's mean.
    """

    colours: Packed
    gradient: Floats
    ratio: Floats


def picture(image: NDArray[np.uint8]) -> Picture:
    """Planes of an image (H, W, 3) RGB or (H, W) grey."""
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    ycc = smooth(image)
    (yx, yy), (rx, ry), (bx, by) = (sobel(plane) for plane in cv2.split(ycc))
    gradient, magnitude = strongest(yx, yy, rx, ry, bx, by)
    mean = cv2.boxFilter(magnitude, -1, (NEIGHBOURHOOD, NEIGHBOURHOOD))
    ratio = magnitude / (mean + np.float32(FLOOR))
    return Picture(packed(ycc), gradient, ratio.astype(np.float32, copy=False))


def smooth(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lightness and two colours of an RGB image, without the finest noise: (H, W, 3)."""
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    for _ in range(2):  # quicker than 5 by 5 at once
        ycc = cv2.GaussianBlur(ycc, (3, 3), 0)
    return ycc.astype(np.uint8, copy=False)


def packed(ycc: NDArray[np.uint8]) -> Packed:
    """Three planes (H, W, 3) with one read for a pixel's."""
    four = cv2.cvtColor(ycc, cv2.COLOR_RGB2RGBA).astype(np.uint8, copy=False)
    return four.view("<u4").reshape(ycc.shape[:2])


def sobel(plane: cv2.typing.MatLike) -> tuple[Gradient, Gradient]:
    """Gradient along x and along y of a plane (H, W), uint8."""
    dx, dy = cv2.spatialGradient(plane)
    return dx.astype(np.int16, copy=False), dy.astype(np.int16, copy=False)


@compiled
def strongest(
    yx: Gradient, yy: Gradient, rx: Gradient, ry: Gradient, bx: Gradient, by: Gradient
) -> tuple[Floats, Floats]:
    """(gx, gy, magnitude) of whichever of three planes changes most: (H, W) each."""
    height, width = yx.shape
    gradient = np.empty((height, width, 2), np.float32)
    magnitude = np.empty((height, width), np.float32)
    for i in range(height):
        for j in range(width):
            x, y = np.float32(yx[i, j]), np.float32(yy[i, j])
            u, v = np.float32(rx[i, j]) * CHROMA, np.float32(ry[i, j]) * CHROMA
            s, t = np.float32(bx[i, j]) * CHROMA, np.float32(by[i, j]) * CHROMA
            light, red, blue = x * x + y * y, u * u + v * v, s * s + t * t
            coloured = blue if blue > red else red
            u, v = (s, t) if blue > red else (u, v)
            gradient[i, j, 0] = u if coloured > light else x
            gradient[i, j, 1] = v if coloured > light else y
            magnitude[i, j] = np.sqrt(max(coloured, light))
    return gradient, magnitude


@compiled
def thin(gradient: Floats, ratio: Floats, most: int) -> Floats:
    """Edge points: local maxima of the gradient across the edge, `most` or so of the highest ratio.

    Returns (4, n), contiguous along n: x, y with parts of pixels, and the unit gradient there.
    """
    height, width = ratio.shape
    least = least_ratio(ratio, 3 * most)  # local maxima are about a third of the pixels that pass
    points = np.empty((4, 3 * most), np.float32)
    n = 0
    for i in range(BORDER, height - BORDER):
        for j in range(BORDER, width - BORDER):
            if ratio[i, j] < least or n >= 3 * most:
                continue
            x, y = gradient[i, j, 0], gradient[i, j, 1]
            here = x * x + y * y
            ahead, behind = beside(gradient, i, j)
            if here < ahead or here <= behind:
                continue
            length = np.sqrt(here)
            curve = ahead + behind - 2 * here
            shift = 0.0
            if curve < 0:
                shift = min(0.5, max(-0.5, (behind - ahead) / (2 * curve)))
            nx, ny = x / length, y / length
            points[0, n], points[1, n] = j + shift * nx, i + shift * ny
            points[2, n], points[3, n] = nx, ny
            n += 1
    return points[:, :n]


@compiled
def least_ratio(ratio: Floats, most: int) -> np.float32:
    """The ratio that about `most` pixels reach, MIN_RATIO at least."""
    height, width = ratio.shape
    bins = np.zeros(BINS, np.int64)
    for i in range(BORDER, height - BORDER):
        for j in range(BORDER, width - BORDER):
            bins[min(BINS - 1, int(ratio[i, j] * BINS_PER_RATIO))] += 1
    floor, passed = BINS - 1, bins[BINS - 1]
    while floor > 0 and passed < most:
        floor -= 1
        passed += bins[floor]
    return max(np.float32(MIN_RATIO), np.float32(floor / BINS_PER_RATIO))


@compiled
def beside(gradient: Floats, i: int, j: int) -> tuple[Real, Real]:
    """Squared gradient a pixel ahead of (i, j) and a pixel behind it, along the gradient there.

    Each lies between two neighbours: a straight and a diagonal one.
    """
    x, y = gradient[i, j, 0], gradient[i, j, 1]
    if abs(x) > abs(y):
        step = 1 if x > 0 else -1
        t = abs(y) / abs(x)
        di = 1 if y > 0 else -1
        ahead = (1 - t) * square(gradient, i, j + step) + t * square(gradient, i + di, j + step)
        behind = (1 - t) * square(gradient, i, j - step) + t * square(gradient, i - di, j - step)
    else:
        step = 1 if y > 0 else -1
        t = abs(x) / max(abs(y), np.float32(1e-6))
        dj = 1 if x > 0 else -1
        ahead = (1 - t) * square(gradient, i + step, j) + t * square(gradient, i + step, j + dj)
        behind = (1 - t) * square(gradient, i - step, j) + t * square(gradient, i - step, j - dj)
    return ahead, behind


@compiled
def square(gradient: Floats, i: int, j: int) -> Real:
    squared: Real = gradient[i, j, 0] * gradient[i, j, 0] + gradient[i, j, 1] * gradient[i, j, 1]
    return squared
