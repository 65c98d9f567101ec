"""What discs lie on: cloth, wood, stone, print, and uneven light over it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.circles import FloatArray

Canvas = NDArray[np.float32]
"""(H, W, 3), 0 to 255, RGB; or a plane of it, (H, W)."""


def colour(random: np.random.Generator, low: float = 15, high: float = 235) -> FloatArray:
    """A random colour, more often a dull than a bright one: (3,)."""
    grey = random.uniform(low, high)
    return np.clip(grey + random.normal(0, random.choice([4, 10, 30]), 3), 2, 253)


def noise(random: np.random.Generator, width: int, height: int, size: float) -> Canvas:
    """Smooth noise of a grain size in pixels, mean 0, standard deviation 1: (H, W)."""
    step = max(1.0, size / 2)
    small = random.standard_normal((int(height / step) + 3, int(width / step) + 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(small, (0, 0), max(0.5, size / step / 1.5))
    plane = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray((plane - plane.mean()) / max(float(plane.std()), 1e-6))


def turned(random: np.random.Generator, width: int, height: int) -> tuple[Canvas, Canvas]:
    """Pixel coordinates along and across a random direction, slightly bent: two (H, W)."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    angle = random.uniform(0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    bend = random.choice([0, 0, 2, 8]) * noise(random, width, height, max(width, height) / 4)
    return c * x + s * y + bend, -s * x + c * y + bend


def plain(random: np.random.Generator, width: int, height: int) -> Canvas:
    return np.broadcast_to(colour(random), (height, width, 3)).astype(np.float32)


def stripes(random: np.random.Generator, width: int, height: int) -> Canvas:
    """Stripes, checks or a grid of seams."""
    along, across = turned(random, width, height)
    period = random.uniform(0.02, 0.25) * max(width, height)
    share = random.uniform(0.1, 0.6)
    mask = ((along / period) % 1 < share).astype(np.float32)
    if random.random() < 0.5:
        other = ((across / (period * random.choice([1, 1, 2]))) % 1 < share).astype(np.float32)
        mask = np.abs(mask - other) if random.random() < 0.4 else np.maximum(mask, other)
    soft = cv2.GaussianBlur(mask, (0, 0), random.uniform(0.4, 2))[..., None]
    canvas = colour(random) * (1 - soft) + colour(random) * soft
    if random.random() < 0.4:
        third = ((along / period + 0.3) % 1 < random.uniform(0.03, 0.15)).astype(np.float32)[..., None]
        canvas = canvas * (1 - third) + colour(random) * third
    return np.asarray(canvas, np.float32)


def weave(random: np.random.Generator, width: int, height: int) -> Canvas:
    """Threads: two fine waves across each other."""
    along, across = turned(random, width, height)
    period = random.uniform(2.5, 12)
    wave = np.sin(along * (2 * np.pi / period))
    wave = wave * np.sin(across * (2 * np.pi / period / random.uniform(0.7, 1.4)))
    wave += random.uniform(0, 1) * noise(random, width, height, period)
    return np.asarray(colour(random) + random.uniform(2, 22) * wave[..., None], np.float32)


def wood(random: np.random.Generator, width: int, height: int) -> Canvas:
    along, across = turned(random, width, height)
    long_side = max(width, height)
    fibres = random.standard_normal((int(long_side * 1.5) + 8, 12)).astype(np.float32)
    stretched = cv2.resize(fibres, (2 * long_side, 2 * long_side), interpolation=cv2.INTER_CUBIC)
    stretched = cv2.GaussianBlur(stretched, (0, 0), random.uniform(0.6, 2.5))
    u = (across - across.min()).astype(np.float32)
    v = ((along - along.min()) * 0.6 + 4 * noise(random, width, height, long_side / 3)).astype(np.float32)
    grain = cv2.remap(stretched, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    base = np.array([random.uniform(60, 200), 0, 0])
    base[1], base[2] = base[0] * random.uniform(0.6, 0.85), base[0] * random.uniform(0.3, 0.65)
    canvas = base + random.uniform(4, 25) * grain[..., None]
    if random.random() < 0.4:
        seam = (across / random.uniform(0.15, 0.4) / long_side % 1 < 0.012).astype(np.float32)
        canvas *= 1 - 0.6 * seam[..., None]
    return np.asarray(canvas, np.float32)


def stone(random: np.random.Generator, width: int, height: int) -> Canvas:
    """Granite, carpet, sand: noise of several grain sizes and colours."""
    canvas: FloatArray = plain(random, width, height)
    for _ in range(random.integers(1, 5)):
        size = np.exp(random.uniform(np.log(0.8), np.log(30)))
        strength = random.uniform(2, 28)
        tint = random.normal(0, 0.3, 3) + 1
        plane = noise(random, width, height, size)
        if random.random() < 0.4:
            plane = np.maximum(plane - random.uniform(0, 1.5), 0)
        canvas = canvas + strength * plane[..., None] * tint
    return canvas.astype(np.float32)


def leather(random: np.random.Generator, width: int, height: int) -> Canvas:
    """Bumps lit from one side."""
    relief = noise(random, width, height, random.uniform(1.5, 14))
    if random.random() < 0.5:
        relief = -np.abs(relief)
    angle = random.uniform(0, 2 * np.pi)
    gx, gy = cv2.Sobel(relief, cv2.CV_32F, 1, 0), cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    lit = gx * np.cos(angle) + gy * np.sin(angle)
    lit /= max(float(lit.std()), 1e-6)
    return np.asarray(colour(random) + random.uniform(3, 25) * lit[..., None], np.float32)


def printed(random: np.random.Generator, width: int, height: int) -> Canvas:
    """Printed cloth or paper: blobs with sharp edges in a few colours."""
    canvas: FloatArray = plain(random, width, height)
    for _ in range(random.integers(1, 5)):
        size = np.exp(random.uniform(np.log(3), np.log(60)))
        plane = noise(random, width, height, size) - random.uniform(0, 1.6)
        mask = np.clip(plane * size * random.uniform(0.3, 2) + 0.5, 0, 1)[..., None]
        if random.random() < 0.3:
            mask = mask * np.clip(1.5 - np.abs(plane) * size * 0.5, 0, 1)[..., None]
        canvas = canvas * (1 - mask) + colour(random) * mask
    return canvas.astype(np.float32)


FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)  # fmt: skip
LETTERS = [*"abcdeghoopqOQ0689CGDsS dnmuvw aoeo b ", "  "]
"""Most of them round."""


def page(random: np.random.Generator, width: int, height: int) -> Canvas:
    """Lines of text."""
    paper, ink = colour(random, 150, 250), colour(random, 5, 90)
    if random.random() < 0.2:
        paper, ink = ink, paper
    canvas = np.broadcast_to(paper, (height, width, 3)).astype(np.float32).copy()
    scale = random.uniform(0.25, 1.6)
    font = int(random.choice(FONTS))
    y = random.uniform(0, 30)
    while y < height + 20:
        text = "".join(random.choice(LETTERS, 120))
        start = (int(random.uniform(-20, 10)), int(y))
        thick = int(random.integers(1, 3))
        cv2.putText(canvas, text, start, font, scale, ink.tolist(), thick, cv2.LINE_AA)
        y += 30 * scale * random.uniform(0.9, 1.6) + 3
    return canvas


def keys(random: np.random.Generator, width: int, height: int) -> Canvas:
    """A keyboard or tiles: rounded squares in a grid."""
    along, across = turned(random, width, height)
    period = random.uniform(0.04, 0.2) * max(width, height)
    u, v = np.abs((along / period) % 1 - 0.5) * 2, np.abs((across / period) % 1 - 0.5) * 2
    power = random.choice([4.0, 6.0, 10.0])
    inside = random.uniform(0.75, 0.95) - (u**power + v**power) ** (1 / power)
    mask = np.clip(inside * period / 2 + 0.5, 0, 1)[..., None]
    top = colour(random) + random.uniform(-10, 10) * noise(random, width, height, period)[..., None]
    return np.asarray(colour(random) * (1 - mask) + top * mask, np.float32)


KINDS = (
    plain, plain, plain, stripes, weave, wood, wood, stone, stone, leather, leather, printed, printed, page,
    keys,
)  # fmt: skip
"""Each as often as it stands here."""


def table(random: np.random.Generator, width: int, height: int) -> Canvas:
    """A background; sometimes two of them with an edge between."""
    canvas: FloatArray = KINDS[random.integers(len(KINDS))](random, width, height)
    if random.random() < 0.3:
        other = KINDS[random.integers(len(KINDS))](random, width, height)
        along, _ = turned(random, width, height)
        cut = random.uniform(along.min(), along.max())
        mask = np.clip((along - cut) / random.uniform(0.5, 3) + 0.5, 0, 1)[..., None]
        canvas = canvas * (1 - mask) + other * mask
    grain = random.uniform(0, 5) * noise(random, width, height, random.uniform(1, 6))
    return np.ascontiguousarray(canvas + grain[..., None], np.float32)


def light(random: np.random.Generator, canvas: Canvas) -> Canvas:
    """Uneven light, the edge of a shadow, a glare, a dark room."""
    height, width = canvas.shape[:2]
    x, y = np.meshgrid(
        np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    )
    towards = random.uniform(0, 2 * np.pi)
    factor = 1 + random.uniform(0, 0.45) * (x * np.cos(towards) + y * np.sin(towards))
    if random.random() < 0.25:
        for _ in range(random.integers(1, 4)):
            plane = noise(random, width, height, random.uniform(0.3, 1) * max(width, height))
            edge = np.clip(plane * random.uniform(5, 80) + random.normal(0, 1), 0, 1)
            factor = factor * (1 - random.uniform(0.2, 0.65) * edge)
    if random.random() < 0.15:
        gx, gy = random.uniform(-1, 1, 2)
        spot = np.exp(-((x - gx) ** 2 + (y - gy) ** 2) / random.uniform(0.02, 0.6))
        factor = factor + random.uniform(0.2, 1.2) * spot
    if random.random() < 0.12:
        factor = factor * random.uniform(0.25, 0.6)
    return np.asarray(canvas * factor[..., None].astype(np.float32))
