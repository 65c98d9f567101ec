"""What is not round, or nearly: pens, cards, nuts, blobs, letters, fingers, black corners."""

from __future__ import annotations

import cv2
import numpy as np

from detector.circles import FloatArray
from detector.scenes.tables import Canvas, colour, noise


def pen(random: np.random.Generator, canvas: Canvas, mask: Canvas) -> None:
    height, width = mask.shape
    ends = random.uniform(-0.2, 1.2, (2, 2)) * (width, height)
    thick = int(max(2, random.uniform(0.005, 0.08) * max(width, height)))
    points = ends.astype(int).tolist()
    tint = colour(random)
    for share, gain in ((1.0, 0.7), (0.7, 1.0), (0.25, 1.25)):
        shade = np.clip(tint * gain, 0, 255).tolist()
        cv2.line(canvas, points[0], points[1], shade, max(1, int(thick * share)), cv2.LINE_AA)
    cv2.line(mask, points[0], points[1], 1.0, thick)


def card(random: np.random.Generator, canvas: Canvas, mask: Canvas) -> None:
    """A quadrangle, sometimes printed on."""
    height, width = mask.shape
    centre = random.uniform(0, 1, 2) * (width, height)
    sides = random.uniform(0.05, 0.6, 2) * min(width, height)
    corners = cv2.boxPoints((centre.tolist(), sides.tolist(), random.uniform(0, 90)))
    corners += random.normal(0, 0.03 * min(width, height), corners.shape)
    fill(random, canvas, mask, np.asarray(corners, np.float32))


def nut(random: np.random.Generator, angle: FloatArray) -> FloatArray:
    """How far a regular polygon reaches at each angle (n,), 1 at its corners; likewise the next three."""
    sides = random.integers(3, 7)
    flat = np.abs((angle * sides / (2 * np.pi)) % 1 - 0.5) * 2
    return np.asarray(np.cos(np.pi / sides) / np.cos((1 - flat) * np.pi / sides))


def star(random: np.random.Generator, angle: FloatArray) -> FloatArray:
    return np.asarray(1 + random.uniform(0.15, 0.5) * np.cos(random.integers(2, 9) * angle))


def rounded_square(random: np.random.Generator, angle: FloatArray) -> FloatArray:
    power = random.uniform(3, 8)
    return np.asarray((np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power))


def blob(random: np.random.Generator, angle: FloatArray) -> FloatArray:
    reach = np.ones_like(angle)
    for k in range(2, 7):
        reach += random.normal(0, 0.35 / k) * np.cos(k * angle + random.uniform(0, 6.3))
    return np.clip(reach, 0.2, 2)


def petal(random: np.random.Generator, angle: FloatArray) -> FloatArray:
    """Round on one side, pointed on the other."""
    return np.asarray(np.abs(np.cos(angle / 2)) ** random.uniform(0.3, 1.2) + 0.02)


OUTLINES = (nut, star, rounded_square, blob, petal)


def nearly_round(random: np.random.Generator, canvas: Canvas, mask: Canvas) -> None:
    """A nut, a star, a rounded square, a leaf: nearly round, and not."""
    height, width = mask.shape
    radius = np.exp(random.uniform(np.log(0.015), np.log(0.2))) * max(width, height)
    centre = random.uniform(0, 1, 2) * (width, height)
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False) + random.uniform(0, 6.3)
    kind = OUTLINES[random.integers(len(OUTLINES))]
    reach = kind(random, angle)
    squeeze = random.uniform(0.3, 1) if kind is not nut else 1.0
    if random.random() < 0.2:  # a leaf: an ellipse with two pointed ends
        reach, squeeze = np.abs(np.sin(angle)) ** random.uniform(0.2, 0.8) + 0.02, random.uniform(0.4, 0.8)
    points = np.stack([np.cos(angle) * reach, np.sin(angle) * reach * squeeze], axis=1) * radius
    turn = random.uniform(0, np.pi)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    fill(random, canvas, mask, centre + points @ spin.T)


def fill(random: np.random.Generator, canvas: Canvas, mask: Canvas, points: FloatArray) -> None:
    """Fill a polygon with a colour and some texture, edges smooth; mark it."""
    height, width = mask.shape
    plane = np.zeros((height, width), np.float32)
    cv2.fillPoly(plane, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    tint = colour(random)
    grain = random.uniform(0, 14) * noise(random, width, height, random.uniform(1, 20))
    inside = tint + grain[..., None]
    canvas *= 1 - plane[..., None]
    canvas += plane[..., None] * inside.astype(np.float32)
    np.maximum(mask, plane, out=mask)


def arc(random: np.random.Generator, canvas: Canvas, mask: Canvas) -> None:
    """Part of a circle's line: a handle, a cup's mark."""
    height, width = mask.shape
    axes = (np.exp(random.uniform(np.log(0.02), np.log(0.3), 2)) * max(width, height)).astype(int).tolist()
    centre = (random.uniform(0, 1, 2) * (width, height)).astype(int).tolist()
    thick = int(random.integers(1, 6))
    span, turn = random.uniform(40, 170), random.uniform(0, 180)
    cv2.ellipse(canvas, centre, axes, turn, 0, span, colour(random).tolist(), thick, cv2.LINE_AA)


def letters(random: np.random.Generator, canvas: Canvas, mask: Canvas) -> None:
    height, width = mask.shape
    text = "".join(random.choice(list("OCGQDS0869aceos&@"), random.integers(1, 12)))
    where = (random.uniform(-0.1, 0.9, 2) * (width, height)).astype(int).tolist()
    scale, tint, thick = random.uniform(0.3, 3), colour(random).tolist(), int(random.integers(1, 5))
    cv2.putText(canvas, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, tint, thick, cv2.LINE_AA)


def hand(random: np.random.Generator, canvas: Canvas, mask: Canvas) -> None:
    """A finger, or a few side by side."""
    height, width = mask.shape
    start, tip = random.uniform(-0.2, 1.2, 2) * (width, height), random.uniform(0.1, 0.9, 2) * (width, height)
    radius = random.uniform(0.02, 0.11) * max(width, height)
    along = (tip - start) / (np.hypot(*(tip - start)) + 1e-6)
    beside = np.array([-along[1], along[0]])
    skin = np.array([200, 150, 120]) * random.uniform(0.35, 1.2) + random.normal(0, 8, 3)
    for n in range(random.choice([1, 1, 1, 2, 3])):
        own = tip + n * 2 * radius * beside + random.normal(0, 0.5 * (n > 0)) * radius * along
        finger(random, canvas, mask, own, along, float(np.hypot(*(own - start))), radius, skin)


def finger(
    random: np.random.Generator, canvas: Canvas, mask: Canvas,
    tip: FloatArray, along: FloatArray, length: float, radius: float, skin: FloatArray,
) -> None:  # fmt: skip
    """A cylinder whose end is nearly half a circle, with a nail or without. tip, along: (2,)."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = ((x - tip[0]) * along[0] + (y - tip[1]) * along[1]) / radius
    v = ((y - tip[1]) * along[0] - (x - tip[0]) * along[1]) / radius
    rho = np.hypot(np.maximum(u, 0) / random.uniform(0.85, 1.4), v)
    cover = np.clip((1 - rho) * radius / random.uniform(0.7, 5) + 0.5, 0, 1) * (u > -length / radius)
    dark = random.uniform(0.3, 0.8)
    shade = dark + (1 - dark) * np.sqrt(np.clip(1 - rho**2, 0, 1)) + random.uniform(-0.2, 0.2) * v
    shade *= 1 + random.uniform(0, 0.06) * noise(random, width, height, random.uniform(1, 6))
    painted = np.clip(skin * shade[..., None], 0, 255)
    if random.random() < 0.4:
        edge = 1 - np.hypot(
            (u + random.uniform(0, 0.6)) / random.uniform(0.6, 1), v / random.uniform(0.5, 0.75)
        )
        nail = (random.uniform(0.2, 0.8) * np.clip(edge * radius / 2, 0, 1))[..., None]
        painted = painted * (1 - nail) + np.clip(skin * 1.1 + random.uniform(0, 40, 3), 0, 255) * nail
    canvas *= 1 - cover[..., None]
    canvas += (cover[..., None] * painted).astype(np.float32)
    np.maximum(mask, cover, out=mask)


UNDER = (card, card, nearly_round, nearly_round, nearly_round, arc, letters, pen, hand)
"""Drawn before the discs."""
OVER = (pen, pen, card, hand, hand)
"""Drawn over them."""


def corners(random: np.random.Generator, canvas: Canvas, mask: Canvas) -> None:
    """The picture turned by a little, as augmentation tools do: black beside it."""
    height, width = mask.shape
    angle = random.uniform(-15, 15)
    sides = (width * random.uniform(0.9, 1.05), height * random.uniform(0.9, 1.05))
    frame = cv2.boxPoints(((width / 2, height / 2), sides, angle))
    inside = np.zeros((height, width), np.float32)
    cv2.fillPoly(inside, [np.round(frame * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    canvas *= inside[..., None]
    np.maximum(mask, 1 - inside, out=mask)
