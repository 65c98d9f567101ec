"""Rendered camera scenes whose circles are known exactly: for tests, demos and load.

A scene is a table with discs (coins, lids) on it: uneven light, texture, shadows, relief inside
the rims, straight-edged clutter, then a lens's blur and a sensor's noise.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.circles import Circles, FloatArray, make

MAX_DISCS = 9


class Scene(NamedTuple):
    """image: (H, W, 3) RGB uint8; circles: every disc in it, score 1."""

    image: NDArray[np.uint8]
    circles: Circles


def render(seed: int, width: int = 640, height: int = 480) -> Scene:
    """The scene of this seed: the same pixels and circles each time. Sides in pixels, >= 64."""
    if min(width, height) < 64:
        raise ValueError(f"a scene is at least 64 x 64 pixels, not {width} x {height}")
    random = np.random.default_rng(seed)
    canvas = table(random, width, height)
    clutter(random, canvas)
    centre, radius = placed(random, width, height)
    light = random.uniform(0, 2 * np.pi)  # where it comes from
    for (x, y), r in zip(centre, radius, strict=True):
        cast_shadow(random, canvas, x, y, r, light)
        draw_disc(random, canvas, x, y, r, light)
    ellipses = np.column_stack([centre, radius, radius, np.zeros_like(radius)])
    truth = make(ellipses, np.ones(len(radius)), (width, height))
    return Scene(photograph(random, canvas), truth)


def table(random: np.random.Generator, width: int, height: int) -> FloatArray:
    """A background of one colour with uneven light and a smooth texture: (H, W, 3), 0 to 255."""
    colour = random.uniform(40, 200) + random.uniform(-25, 25, 3)
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    towards = random.uniform(0, 2 * np.pi)
    light = 1 + random.uniform(0, 0.3) * (x * np.cos(towards) + y * np.sin(towards))
    grain = texture(random, width, height, random.uniform(1, 12), random.uniform(2, 10))
    return np.asarray(colour * light[..., None] + grain[..., None])


def texture(random: np.random.Generator, width: int, height: int, size: float, strength: float) -> FloatArray:
    """Noise of a given grain size (px) and standard deviation: (H, W), mean 0."""
    noise = cv2.GaussianBlur(random.standard_normal((height, width)), (0, 0), size)
    return np.asarray(noise * (strength / max(float(noise.std()), 1e-9)))


def clutter(random: np.random.Generator, canvas: FloatArray) -> None:
    """Draw things with straight edges: pens, cards, seams."""
    height, width = canvas.shape[:2]
    for _ in range(random.integers(0, 6)):
        start, end = random.uniform(0, (width, height), (2, 2)).astype(int).tolist()
        colour = random.uniform(20, 235, 3).tolist()
        cv2.line(canvas, start, end, colour, int(random.integers(1, 8)), cv2.LINE_AA)
    for _ in range(random.integers(0, 4)):
        centre = random.uniform(0, (width, height)).tolist()
        sides = random.uniform(0.05, 0.35, 2) * min(width, height)
        corners = cv2.boxPoints((centre, sides.tolist(), random.uniform(0, 90)))
        cv2.fillPoly(canvas, [corners.astype(np.int32)], random.uniform(20, 235, 3).tolist())


def placed(random: np.random.Generator, width: int, height: int) -> tuple[FloatArray, FloatArray]:
    """Centres (n, 2) and radii (n,) of discs: none overlap, the frame cuts some."""
    short = min(width, height)
    spots: list[tuple[float, float, float]] = []
    wanted = random.integers(1, MAX_DISCS + 1)
    for _ in range(60):
        r = short * random.uniform(0.045, 0.16)
        x, y = random.uniform(0.7 * r, (width - 0.7 * r, height - 0.7 * r))
        if all(np.hypot(x - x2, y - y2) > r + r2 + 2 for x2, y2, r2 in spots):
            spots.append((x, y, r))
        if len(spots) == wanted:
            break
    discs = np.array(spots)
    return discs[:, :2], discs[:, 2]


def around(canvas: FloatArray, x: float, y: float, reach: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A view of the canvas within reach of a point, and its pixels' offsets (dx, dy) from it."""
    height, width = canvas.shape[:2]
    left, right = max(0, int(x - reach)), min(width, int(x + reach) + 1)
    top, bottom = max(0, int(y - reach)), min(height, int(y + reach) + 1)
    dx, dy = np.meshgrid(np.arange(left, right) + 0.5 - x, np.arange(top, bottom) + 0.5 - y)
    return canvas[top:bottom, left:right], dx, dy


def cast_shadow(
    random: np.random.Generator, canvas: FloatArray, x: float, y: float, r: float, light: float
) -> None:
    shift, softness = r * random.uniform(0.02, 0.12), r * random.uniform(0.03, 0.15)
    x, y = x - shift * np.cos(light), y - shift * np.sin(light)
    view, dx, dy = around(canvas, x, y, r + softness + 1)
    covered = np.clip((r - np.hypot(dx, dy)) / softness + 0.5, 0, 1)
    view *= 1 - random.uniform(0.1, 0.45) * covered[..., None]


def draw_disc(
    random: np.random.Generator, canvas: FloatArray, x: float, y: float, r: float, light: float
) -> None:
    """A metal disc: shaded surface, a bevelled rim, perhaps an inner ring, a worn relief."""
    view, dx, dy = around(canvas, x, y, r + 1)
    distance = np.hypot(dx, dy)
    facing = (dx * np.cos(light) + dy * np.sin(light)) / np.maximum(distance, 1)

    under = float(view.mean())
    away = random.uniform(12, 90) * (1 if under < 120 else -1)
    colour = under + away + random.uniform(-20, 20, 3)
    height, width = distance.shape
    surface = texture(random, width, height, random.uniform(0.8, 3), random.uniform(2, 14))
    surface += random.uniform(0, 15) * facing * distance / r
    bevel = random.uniform(0.04, 0.1) * r
    surface += random.uniform(10, 50) * facing * np.clip((distance - r + bevel) / bevel, 0, 1)
    if random.random() < 0.5:
        ring = random.uniform(0.6, 0.8) * r
        surface += random.uniform(-30, 30) * (distance < ring)
    covered = np.clip(r - distance + 0.5, 0, 1)[..., None]  # a pixel on the rim is covered in part
    view += covered * (np.clip(colour + surface[..., None], 0, 255) - view)


def photograph(random: np.random.Generator, canvas: FloatArray) -> NDArray[np.uint8]:
    """What a camera makes of it: blur, noise, eight bits: (H, W, 3)."""
    blurred = cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.4, 1.6))
    noisy = blurred + random.normal(0, random.uniform(1, 6), canvas.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
