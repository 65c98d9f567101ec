"""Round things, drawn flat and seen from above: coins, washers, lids, cells, balls.

Each returns a square patch, (S, S, 4): RGB 0 to 255 and coverage 0 to 1, whose disc has its centre
in the middle and touches the sides of the inner (1 - 2 * MARGIN) part.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from detector.circles import FloatArray
from detector.scenes.tables import Canvas, colour, noise

MARGIN = 0.06

METALS = (
    (200, 200, 198), (150, 152, 155), (110, 108, 105), (190, 140, 70), (205, 165, 80), (170, 95, 60),
    (120, 70, 45), (75, 60, 50), (222, 205, 160), (60, 60, 62),
)  # fmt: skip


def polar(size: int) -> tuple[Canvas, Canvas, float]:
    """Distance from the middle in radii, angle, and the radius in pixels."""
    radius = size * (0.5 - MARGIN)
    axis = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) / radius
    u, v = np.meshgrid(axis, axis)
    return np.hypot(u, v), np.arctan2(v, u), radius


def metal(random: np.random.Generator) -> FloatArray:
    """A colour, (3,)."""
    if random.random() < 0.2:
        return colour(random, 20, 230)
    base = np.array(METALS[random.integers(len(METALS))], float)
    return np.clip(base * random.uniform(0.55, 1.25) + random.normal(0, 8, 3), 5, 250)


def outline(random: np.random.Generator, rho: Canvas, theta: Canvas) -> FloatArray:
    """The distance at which 1 is the edge: a circle, now and then a coin of many sides."""
    if random.random() < 0.12:
        sides = int(random.choice([7, 7, 8, 9, 10, 11, 12]))
        flat = np.abs((theta * sides / (2 * np.pi) + random.random()) % 1 - 0.5) * 2
        inset = (1 - np.cos(np.pi / sides)) * random.uniform(0.3, 1)
        return np.asarray(rho / (1 - inset * (1 - flat**2)))
    return rho


def coin(random: np.random.Generator, size: int) -> Canvas:
    """Relief (a head, letters around it, beads, a raised rim) lit from one side."""
    rho, theta, radius = polar(size)
    shape = outline(random, rho, theta)
    steep = slope(random, relief(random, rho, theta, shape, radius))
    base = metal(random)
    shade = shading(random, steep, rho, theta)
    rgb = base * shade[..., None]
    if random.random() < 0.25:  # two metals
        inner = (rho < random.uniform(0.5, 0.8))[..., None]
        rgb = np.where(inner, metal(random) * shade[..., None], rgb)
    worn = 1 + random.uniform(0, 0.15) * noise(random, size, size, random.uniform(1, radius / 3 + 1.5))
    rgb = rgb * worn[..., None]
    if random.random() < 0.4:  # dark at the edge
        dark = random.uniform(0.1, 0.6) * np.clip((shape - (1 - random.uniform(0.03, 0.12))) / 0.03, 0, 1)
        rgb = rgb * (1 - dark)[..., None]
    return cut(rgb, shape, radius)


def relief(
    random: np.random.Generator, rho: Canvas, theta: Canvas, shape: FloatArray, radius: float
) -> Canvas:
    """How high a coin stands at each place, (S, S). shape: as `outline` gives it."""
    size = len(rho)
    height = np.zeros((size, size), np.float32)
    rim_width = random.uniform(0.02, 0.12)
    if random.random() < 0.8:
        height += random.uniform(0.3, 1) * (shape > 1 - rim_width)
    if random.random() < 0.4:
        beads = int(random.integers(30, 120))
        ring = np.abs(shape - (1 - rim_width - 0.04)) < 0.03
        height += random.uniform(0.2, 0.8) * ring * (np.cos(theta * beads) > 0)
    if random.random() < 0.75:
        height += lettering(random, theta, shape)
    if random.random() < 0.85:
        smooth = noise(random, size, size, radius * random.uniform(0.08, 0.5))
        head = smooth - rho * random.uniform(0.5, 3) + 1
        strength, sharp = random.uniform(0.3, 1.2), random.uniform(1, 8)
        height += strength * np.clip(head * sharp, 0, 1) * (rho < random.uniform(0.55, 0.75))
        height += random.uniform(0, 0.5) * noise(random, size, size, radius * 0.05) * (rho < 0.7)
    if random.random() < 0.35:
        at = random.uniform(0.45, 0.93)
        strength = random.choice([-1, 1]) * random.uniform(0.2, 1)
        height += strength * (np.abs(rho - at) < random.uniform(0.008, 0.03))
    blurred = cv2.GaussianBlur(height, (0, 0), max(0.5, radius * random.uniform(0.006, 0.025)))
    return np.asarray(blurred, np.float32)


def lettering(random: np.random.Generator, theta: Canvas, shape: FloatArray) -> FloatArray:
    """Marks like letters around a part of the edge: their height (S, S)."""
    rows, columns = random.integers(2, 5), random.integers(20, 90)
    marks = random.random((rows, columns)).astype(np.float32)
    strip = cv2.resize(marks, (512, 64), interpolation=cv2.INTER_LINEAR) > 0.5
    low, high = random.uniform(0.6, 0.75), random.uniform(0.8, 0.93)
    u = ((theta + np.pi) / (2 * np.pi) * 511).astype(np.float32)
    v = ((shape - low) / (high - low) * 63).astype(np.float32)
    text = cv2.remap(strip.astype(np.float32), u, v, cv2.INTER_LINEAR, borderValue=0)
    start, share = random.uniform(0, 1), random.uniform(0.3, 1)
    written = ((theta + np.pi) / (2 * np.pi) + start) % 1 < share
    return np.asarray(random.uniform(0.3, 1) * text * written)


def slope(random: np.random.Generator, height: Canvas) -> FloatArray:
    """How steeply a relief rises towards the light: (S, S)."""
    angle = random.uniform(0, 2 * np.pi)
    gx, gy = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
    return np.asarray((gx * np.cos(angle) + gy * np.sin(angle)) * random.uniform(0.1, 1.2))


def shading(random: np.random.Generator, steep: FloatArray, rho: Canvas, theta: Canvas) -> FloatArray:
    """How bright a relief is in its light, around 1: (S, S)."""
    shade = 1 + 0.25 * np.tanh(steep) * random.uniform(0.2, 2.5)
    shade += random.uniform(0, 0.3) * rho * np.cos(theta - random.uniform(0, 6.3))
    if random.random() < 0.3:  # a sheen across polished metal
        strength, towards = random.uniform(0.1, 0.6), random.uniform(0, 3.1)
        sheen = np.exp(-(np.sin(theta - towards) ** 2) / random.uniform(0.02, 0.4))
        shade += strength * sheen * random.choice([-0.6, 1])
    return np.asarray(shade)


def lid(random: np.random.Generator, size: int) -> Canvas:
    """Plastic, card, paint: one or a few flat rings of colour, with or without print."""
    rho, theta, radius = polar(size)
    rgb = np.broadcast_to(colour(random), (size, size, 3)).astype(np.float32).copy()
    for _ in range(random.integers(0, 4)):
        other = random.random() < 0.5
        tint = colour(random) if other else rgb[size // 2, size // 2] + random.uniform(-25, 25)
        rgb[rho < random.uniform(0.2, 0.97)] = tint
    if random.random() < 0.3:
        text = "".join(random.choice(list("ABCEGIOSTXZ0123456789"), random.integers(1, 7)))
        start, ink, thick = (int(size * 0.2), int(size * 0.55)), colour(random).tolist(), max(1, size // 60)
        cv2.putText(rgb, text, start, cv2.FONT_HERSHEY_SIMPLEX, size / 120, ink, thick, cv2.LINE_AA)
    if random.random() < 0.3:
        strength = random.uniform(5, 30)
        rgb += strength * noise(random, size, size, radius * random.uniform(0.05, 0.6))[..., None]
    rgb += random.uniform(0, 40) * (rho * np.cos(theta - random.uniform(0, 6.3)))[..., None]
    if random.random() < 0.5:
        ridge = np.exp(-((rho - random.uniform(0.85, 0.98)) ** 2) / 0.0008)
        rgb += (random.uniform(10, 60) * ridge * np.cos(theta - random.uniform(0, 6.3)))[..., None]
    return cut(rgb, rho, radius)


def washer(random: np.random.Generator, size: int) -> Canvas:
    """A ring: one sees the table through the hole."""
    patch = coin(random, size) if random.random() < 0.5 else lid(random, size)
    rho, _, radius = polar(size)
    hole = random.uniform(0.15, 0.9)
    patch[..., 3] *= np.clip((rho - hole) * radius + 0.5, 0, 1)
    return patch


def cell(random: np.random.Generator, size: int) -> Canvas:
    """Half transparent, soft at the edge, paler or darker in the middle, not quite round."""
    rho, theta, radius = polar(size)
    bent = np.zeros_like(rho)
    for k in (2, 3, 4, 5):
        bent += random.normal(0, 0.025 / k) * np.cos(k * theta + random.uniform(0, 6.3))
    shape = rho * (1 + bent)
    middle = np.exp(-((rho / random.uniform(0.2, 0.7)) ** 2))
    rgb = colour(random, 60, 220) + (random.uniform(-60, 60) * middle)[..., None]
    rgb = rgb + random.uniform(0, 12) * noise(random, size, size, radius / 4 + 1)[..., None]
    patch = cut(rgb.astype(np.float32), shape, radius * random.uniform(0.15, 1))
    patch[..., 3] *= random.uniform(0.25, 1) * (1 - random.uniform(0, 0.7) * middle)
    return patch


Draw = Callable[[np.random.Generator, int], Canvas]


def smeared(random: np.random.Generator) -> Draw:
    """Cells of one stain: alike, each bent in its own way."""
    stain, low = colour(random, 90, 200), random.uniform(0.3, 0.9)
    soft, middle, pale = random.uniform(0.15, 0.6), random.uniform(0.2, 0.6), random.uniform(0, 0.8)
    bend = random.uniform(0.01, 0.09)

    def one(random: np.random.Generator, size: int) -> Canvas:
        rho, theta, radius = polar(size)
        bent = np.zeros_like(rho)
        for k in (2, 2, 3, 4, 5):
            bent += random.normal(0, bend / k) * np.cos(k * theta + random.uniform(0, 6.3))
        pit = np.exp(-((rho / (middle * random.uniform(0.8, 1.2))) ** 2)) * pale * random.uniform(0.3, 1)
        tint = stain * random.uniform(0.88, 1.1)
        rgb = tint + random.uniform(0, 10) * noise(random, size, size, radius / 4 + 1)[..., None]
        patch = cut(rgb.astype(np.float32), rho * (1 + bent), radius * soft)
        patch[..., 3] *= low * random.uniform(0.8, 1.1) * (1 - pit)
        return patch

    return one


def ball(random: np.random.Generator, size: int) -> Canvas:
    """A sphere: brightest towards the light, dark at the far side."""
    rho, theta, radius = polar(size)
    z = np.sqrt(np.clip(1 - rho**2, 0, 1))
    towards, up = random.uniform(0, 2 * np.pi), random.uniform(0.2, 0.9)
    lit = np.clip(z * up + rho * np.cos(theta - towards) * np.sqrt(1 - up**2), 0, 1)
    rgb = colour(random, 60, 235) * (random.uniform(0.1, 0.6) + 0.8 * lit)[..., None]
    rgb = rgb + (random.uniform(0, 150) * lit ** random.uniform(8, 60))[..., None]
    rgb = rgb + random.uniform(0, 10) * noise(random, size, size, radius / 6 + 1)[..., None]
    return cut(rgb.astype(np.float32), rho, radius)


def cut(rgb: FloatArray, shape: FloatArray, radius: float) -> Canvas:
    """With its coverage: whole inside, in part on the pixels of the edge."""
    alpha = np.clip((1 - shape) * radius + 0.5, 0, 1)
    return np.dstack([rgb, alpha]).astype(np.float32)


KINDS = (*[coin] * 6, lid, lid, washer, cell, cell, ball)
"""Each as often as it stands here."""
