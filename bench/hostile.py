"""Images that are hard on a detector and its server: textures, odd sizes, scenes, damaged files."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.scenes import render

Image = NDArray[np.uint8]
FORMATS = (".jpg", ".png", ".webp")


class Sent(NamedTuple):
    """Pixels, or where those are None a file that may be damaged."""

    pixels: Image | None
    file: bytes = b""


def made(random: np.random.Generator) -> Sent:
    """One of them, as this generator has it."""
    kind = random.integers(4)
    pixels = scene(random) if kind == 0 else textured(random)
    if kind < 2:
        return Sent(pixels)
    file = cv2.imencode(str(random.choice(FORMATS)), pixels)[1].tobytes()
    return Sent(None, file if kind == 2 else damaged(random, file))


def scene(random: np.random.Generator) -> Image:
    return render(int(random.integers(500))).image


def textured(random: np.random.Generator) -> Image:
    """Noise of several scales, gratings, rings and letters over each other: edges everywhere."""
    width, height = sizes(random)
    canvas = random.integers(0, 256, (height, width, 3)).astype(np.float32)
    for _ in range(random.integers(1, 4)):
        coarse = random.integers(2, 60, 2)
        patch = random.normal(0, 90, (*coarse, 3)).astype(np.float32)
        layer = cv2.resize(patch, (width, height), interpolation=int(random.integers(3)))
        canvas = canvas * random.uniform(0, 1) + layer
    if random.random() < 0.5:
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        turn, period = random.uniform(0, np.pi), random.uniform(2, 40)
        canvas += 80 * np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / period)[..., None]
    image = np.clip(canvas + 128, 0, 255).astype(np.uint8)
    for _ in range(random.integers(0, 40)):
        centre = (int(random.integers(width)), int(random.integers(height)))
        radius = int(random.integers(1, max(2, min(width, height) // 2)))
        colour = random.integers(0, 256, 3).tolist()
        cv2.circle(image, centre, radius, colour, int(random.integers(-1, 5)) or 1, cv2.LINE_AA)
        cv2.putText(image, "O0QG8@", centre, cv2.FONT_HERSHEY_SIMPLEX, random.uniform(0.2, 3), colour, 2)
    return image


def sizes(random: np.random.Generator) -> tuple[int, int]:
    """Mostly of a camera; some a line, a strip or a dot."""
    if random.random() < 0.15:
        long, short = int(random.integers(1, 3000)), int(random.integers(1, 24))
        return (long, short) if random.random() < 0.5 else (short, long)
    return int(random.integers(16, 1300)), int(random.integers(16, 1000))


def damaged(random: np.random.Generator, file: bytes) -> bytes:
    """Cut off, or with some bytes changed."""
    if random.random() < 0.3:
        return file[: int(random.integers(len(file)))]
    changed = np.frombuffer(file, np.uint8).copy()
    where = random.integers(0, len(changed), random.integers(1, 20))
    changed[where] = random.integers(0, 256, len(where))
    return changed.tobytes()
