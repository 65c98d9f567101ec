"""Scenes for training: overlaps, angles, occlusion, every background, bad cameras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.circles import Circles, FloatArray, make
from detector.scenes import clutter, discs, tables
from detector.scenes.tables import Canvas

SEEN = 0.5
"""Of a disc's area: from here on it belongs to the truth; from half of it on it is doubtful."""

MIN_SIDE = 64
TILTED = 0.97
"""Axis ratio below which a disc is tilted enough to show its side."""


class HardScene(NamedTuple):
    """image: (H, W, 3) RGB uint8; circles: discs one should find; doubtful: hardly to be seen."""

    image: NDArray[np.uint8]
    circles: Circles
    doubtful: Circles


class Disc(NamedTuple):
    """An ellipse in pixels and radians, as rows of `detector.circles.make`."""

    x: float
    y: float
    a: float
    b: float
    angle: float


def render_hard(seed: int, width: int = 640, height: int = 480) -> HardScene:
    """The scene of this seed: the same pixels and circles each time. Sides in pixels, >= 64."""
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"a scene is at least {MIN_SIDE} x {MIN_SIDE} pixels, not {width} x {height}")
    random = np.random.default_rng([seed, 7])
    canvas = ground(random, width, height)
    smear = random.random() < 0.1  # a crowd of one kind on a pale ground, as under a microscope
    if smear:
        canvas = canvas * 0.08 + tables.colour(random, 150, 235).astype(np.float32)
    placed = place(random, width, height, smear=smear)
    kinds = drawn_kinds(random, smear=smear)
    light = random.uniform(0, 2 * np.pi)
    covers = [put(random, canvas, disc, kinds[random.integers(len(kinds))], light) for disc in placed]
    hidden = np.zeros((height, width), np.float32)
    if random.random() < 0.3:
        for _ in range(random.integers(1, 3)):
            draw = clutter.OVER[random.integers(len(clutter.OVER))]
            draw(random, canvas, hidden)
    canvas = tables.light(random, canvas)
    if random.random() < 0.08:
        clutter.corners(random, canvas, hidden)
    seen = shown(placed, covers, hidden)
    rows = np.array(placed, float).reshape(-1, 5)
    clear = seen >= SEEN
    doubtful = ~clear & (seen >= SEEN / 2)
    ones = np.ones(len(rows))
    return HardScene(
        photograph(random, canvas),
        make(rows[clear], ones[clear], (width, height)),
        make(rows[doubtful], ones[doubtful], (width, height)),
    )


def ground(random: np.random.Generator, width: int, height: int) -> Canvas:
    """A table with what lies under the discs: (H, W, 3)."""
    canvas = tables.table(random, width, height)
    for _ in range(random.choice([0, 0, 1, 2, 4, 8])):
        draw = clutter.UNDER[random.integers(len(clutter.UNDER))]
        draw(random, canvas, np.zeros((height, width), np.float32))
    return canvas


def drawn_kinds(random: np.random.Generator, *, smear: bool) -> list[discs.Draw]:
    """What the discs of one scene are: mostly alike."""
    if smear:
        return [discs.smeared(random)]
    return [discs.KINDS[random.integers(len(discs.KINDS))] for _ in range(random.choice([1, 1, 2, 3]))]


def shown(placed: Sequence[Disc], covers: Sequence[Canvas], hidden: Canvas) -> FloatArray:
    """The part of each disc's area, (n,), that neither later discs cover nor what is hidden, (H, W)."""
    above = hidden
    seen = np.zeros(len(placed))
    for n in range(len(placed) - 1, -1, -1):
        seen[n] = float((covers[n] * (1 - above)).sum()) / (np.pi * placed[n].a * placed[n].b)
        above = np.maximum(above, covers[n])
    return seen


def place(random: np.random.Generator, width: int, height: int, *, smear: bool) -> list[Disc]:
    """Where discs lie: scattered, in a heap, touching, all seen at one angle."""
    long_side = max(width, height)
    if random.random() < 0.07:
        return []
    wanted = int(np.clip(np.exp(random.normal(1.3, 0.9)), 1, 40))
    base = np.exp(random.uniform(np.log(0.018), np.log(0.2))) * long_side
    if wanted > 8:
        base = min(base, 0.09 * long_side)
    spread = random.choice([0.03, 0.15, 0.35])
    most_overlap = random.choice([-0.15, 0, 0, 0.1, 0.35])
    tilt = 1.0 if random.random() < 0.45 else random.uniform(0.62, 1)
    turn = random.uniform(0, np.pi)
    heap = random.random() < 0.35
    middle = random.uniform(0.2, 0.8, 2) * (width, height)
    if smear:
        wanted, base, spread = int(random.integers(8, 45)), random.uniform(0.04, 0.09) * long_side, 0.15
        most_overlap, heap = random.uniform(0, 0.5), False
        tilt = random.uniform(0.6, 1)  # of the most bent, each in its own direction
    found: list[Disc] = []
    for _ in range(30 * wanted):
        r = base * np.exp(random.normal(0, spread))
        if smear and random.random() < 0.08:
            r *= random.choice([0.35, 2.0])
        r = max(6.0 if long_side >= 400 else 5.0, r)
        r = min(r, 0.6 * min(width, height))
        if heap:
            x, y = middle + random.normal(0, 1, 2) * base * np.sqrt(wanted)
        else:
            out = -1.0 if random.random() < 0.7 and not smear else 0.3  # mostly whole, some cut by the frame
            x = random.uniform(min(-out * r, width / 2), max(width + out * r, width / 2))
            y = random.uniform(min(-out * r, height / 2), max(height + out * r, height / 2))
        if not (-0.3 * r < x < width + 0.3 * r and -0.3 * r < y < height + 0.3 * r):
            continue
        if all(np.hypot(x - d.x, y - d.y) > (r + d.a) * (1 - most_overlap) for d in found):
            if smear:
                own, turn = random.uniform(tilt, 1), random.uniform(0, np.pi)
            else:
                own = min(1.0, tilt * np.exp(random.normal(0, 0.02))) if tilt < 1 else 1.0
            found.append(Disc(x, y, r, r * own, turn if own < 1 else 0.0))
        if len(found) == wanted:
            break
    return found


def put(random: np.random.Generator, canvas: Canvas, disc: Disc, draw: discs.Draw, light: float) -> Canvas:
    """Draw a disc and its shadow; returns its coverage (H, W)."""
    height, width = canvas.shape[:2]
    patch, warp = drawn_for(random, disc, draw)
    patch[..., :3] *= patch[..., 3:]
    drawn = cv2.warpAffine(patch, warp, (width, height), flags=cv2.INTER_LINEAR)
    cover = drawn[..., 3]
    if random.random() < 0.75:
        cast_shadow(random, canvas, disc, patch[..., 3], warp, light)
    if disc.b < TILTED * disc.a and random.random() < 0.6:
        draw_side(random, canvas, disc, patch[..., 3], warp)
    canvas *= 1 - cover[..., None]
    canvas += drawn[..., :3]
    return np.asarray(cover > 0.02, np.float32)


def drawn_for(random: np.random.Generator, disc: Disc, draw: discs.Draw) -> tuple[Canvas, FloatArray]:
    """What is seen on a disc, (S, S, 4), and the affine map (2, 3) that lays it there."""
    size = int(np.clip(2.6 * disc.a / (1 - 2 * discs.MARGIN), 20, 700))
    patch = draw(random, size)
    radius = size * (0.5 - discs.MARGIN)
    warp = onto(disc, size, radius, random.uniform(0, 2 * np.pi))
    if size * 0.5 > 1.6 * disc.a:  # much smaller than drawn: as a lens would, blur before sampling
        patch = cv2.GaussianBlur(patch, (0, 0), 0.35 * radius / disc.a).astype(np.float32, copy=False)
    return patch, warp


def onto(disc: Disc, size: int, radius: float, spin: float) -> FloatArray:
    """The affine map (2, 3) of a patch with a disc of this radius in its middle to a disc, spun first."""
    c, s = np.cos(disc.angle), np.sin(disc.angle)
    turn = np.array([[np.cos(spin), -np.sin(spin)], [np.sin(spin), np.cos(spin)]])
    shape = np.array([[c, -s], [s, c]]) @ np.diag([disc.a, disc.b]) @ turn / radius
    middle = np.array([size / 2 - 0.5, size / 2 - 0.5])
    move = np.array([disc.x - 0.5, disc.y - 0.5]) - shape @ middle
    return np.column_stack([shape, move])


def moved(warp: FloatArray, by: tuple[float, float] | FloatArray) -> FloatArray:
    return np.asarray(warp + np.array([[0, 0, by[0]], [0, 0, by[1]]]))


def cast_shadow(
    random: np.random.Generator, canvas: Canvas, disc: Disc, cover: Canvas, warp: FloatArray, light: float
) -> None:
    """Darken what lies beside a disc, away from the light. cover: (S, S) of its patch."""
    height, width = canvas.shape[:2]
    distance, soft = disc.a * random.uniform(0, 0.14), disc.a * random.uniform(0.02, 0.15)
    away = (-distance * np.cos(light), -distance * np.sin(light))
    solid = cv2.warpAffine((cover > 0.02).astype(np.float32), moved(warp, away), (width, height))
    shadow = cv2.GaussianBlur(solid, (0, 0), max(0.5, soft))
    canvas *= 1 - random.uniform(0.05, 0.6) * shadow[..., None]


def draw_side(
    random: np.random.Generator, canvas: Canvas, disc: Disc, cover: Canvas, warp: FloatArray
) -> None:
    """The side of a thick tilted disc. cover: (S, S) of its patch."""
    height, width = canvas.shape[:2]
    c, s = np.cos(disc.angle), np.sin(disc.angle)
    thick = random.uniform(0.02, 0.1) * disc.a * np.sqrt(1 - (disc.b / disc.a) ** 2)
    down = np.array([-s, c]) * (1 if c >= 0 else -1) * thick
    side = cv2.warpAffine(cover, moved(warp, down), (width, height))[..., None]
    canvas *= 1 - side
    canvas += side * (tables.colour(random, 20, 200) * random.uniform(0.4, 1)).astype(np.float32)


def photograph(random: np.random.Generator, canvas: Canvas) -> NDArray[np.uint8]:
    """What a camera makes of it: blur, motion, noise, tones, JPEG."""
    blurred = cv2.GaussianBlur(canvas, (0, 0), float(np.exp(random.uniform(np.log(0.35), np.log(2.2)))))
    if random.random() < 0.1:
        length = int(random.integers(3, 10))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(random.integers(length))), (length - 1, int(random.integers(length))), 1.0)
        blurred = cv2.filter2D(blurred, -1, kernel / kernel.sum())
    if random.random() < 0.3:
        soft = cv2.GaussianBlur(blurred, (0, 0), random.uniform(0.8, 2.5))
        blurred = blurred + random.uniform(0.2, 1.5) * (blurred - soft)
    toned = 255 * np.clip(blurred / 255, 0, 1.2) ** random.uniform(0.7, 1.4)
    toned = toned * (1 + random.normal(0, 0.06, 3)) * random.uniform(0.75, 1.2) + random.uniform(-15, 25)
    noisy = toned + random.normal(0, 1, canvas.shape) * np.exp(random.uniform(np.log(0.3), np.log(9)))
    image: NDArray[np.uint8] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if random.random() < 0.12:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if random.random() < 0.7:
        image = compressed(image, quality=int(random.integers(35, 96)))
    return image


def compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """An image, (H, W, 3) RGB, after JPEG of a quality, 0 to 100."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "what was just encoded"
    return np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8, copy=False)
