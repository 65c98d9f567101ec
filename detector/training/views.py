"""What the network learns from: rendered scenes, small and varied, and what it should say of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from detector.circles import Circles, FloatArray
from detector.training.examples import rendered
from detector.v2.model import SEARCH_SIDE
from detector.v2.network import BINS, CELL, MIDDLE, MULTIPLE, RADII, SPREAD, STEP
from detector.v2.propose import reduced

BATCH = 32
FIRST_SEED = 1_000_000
"""Far from those of the trees' scenes: what it says of a scene that it knows by heart is worth nothing."""

WIDTH, LEAST_WIDTH = 0.17, 4.5
"""Standard deviation of what is wanted around a centre: in radii, and in pixels at least."""
RADIUS_WIDTH = 0.45
"""The same over radii, in steps from one to the next."""
TOLD = 0.3
"""Of what is wanted at a centre: from here on a place should say where the centre is."""
ZOOM = (0.5, 2.2)
BEYOND = 0.3
"""Radii that a centre may lie outside the picture: the nearest cell says so."""
LEAST, MOST = 3.5, 260.0
"""Pixels of radius, beyond which nothing is wanted."""
UNSAID = 0.1
"""Around a doubtful disc: from here on a place may say what it likes."""


class Seen(NamedTuple):
    """image: (H, W, 3) uint8; discs, doubtful: (n, 3) x, y, radius in pixels, pixel centres at halves."""

    image: NDArray[np.uint8]
    discs: FloatArray
    doubtful: FloatArray


class Wanted(NamedTuple):
    """What the network should say, (BINS, rows, columns) but offsets: (3, BINS, rows, columns).

    likely: 1 where a disc is, less around it; offsets: as the network's, where told is more than 0, the
    more the nearer; unsaid: 1 where nobody can tell.
    """

    likely: NDArray[np.float32]
    offsets: NDArray[np.float32]
    told: NDArray[np.float32]
    unsaid: NDArray[np.float32]


def of_number(number: int) -> Seen:
    """The scene of this number, lying."""
    cv2.setNumThreads(1)
    scene = rendered(number, FIRST_SEED)
    height, width = scene.image.shape[:2]
    small = reduced(scene.image, SEARCH_SIDE)
    scale = np.float32(small.shape[1] / width)
    discs, doubtful = (placed(circles, scale) for circles in (scene.circles, scene.doubtful))
    if height > width:
        return Seen(np.ascontiguousarray(small.swapaxes(0, 1)), discs[:, [1, 0, 2]], doubtful[:, [1, 0, 2]])
    return Seen(small, discs, doubtful)


def placed(circles: Circles, scale: np.float32) -> FloatArray:
    return (np.column_stack([circles["x"], circles["y"], circles["radius"]]) * scale).astype(float)


def varied(random: np.random.Generator, seen: Seen) -> Seen:
    """The scene mirrored, larger or smaller, in other colours and light."""
    height, width = seen.image.shape[:2]
    image, discs, doubtful = seen.image, seen.discs.copy(), seen.doubtful.copy()
    for axis, side in ((0, width), (1, height)):
        if random.random() < 0.5:
            image = np.flip(image, 1 - axis)
            for rows in (discs, doubtful):
                rows[:, axis] = side - rows[:, axis]
    image = np.ascontiguousarray(image)
    if random.random() < 0.6:
        scale = float(np.exp(random.uniform(*np.log(ZOOM))))
        shift = random.uniform(0, 1, 2) * (width, height) * (1 - scale)
        moved = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        beyond = random.uniform(0, 255, 3).tolist()
        image = cv2.warpAffine(image, moved, (width, height), borderValue=beyond).astype(np.uint8, copy=False)
        for rows in (discs, doubtful):
            rows *= scale
            rows[:, :2] += shift
        clear = (outside(discs, width, height) <= BEYOND) & (discs[:, 2] >= LEAST) & (discs[:, 2] <= MOST)
        discs, doubtful = discs[clear], np.concatenate([doubtful, discs[~clear]])
    return Seen(in_other_light(random, image), discs, doubtful)


def outside(discs: FloatArray, width: int, height: int) -> FloatArray:
    """How far centres of discs (n, 3) lie outside a picture, (n,) in radii: 0 within."""
    x, y, radius = discs.T
    across, down = np.maximum(-x, x - width), np.maximum(-y, y - height)
    return np.asarray(np.maximum(np.maximum(across, down), 0) / radius)


def in_other_light(random: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    tones = image.astype(np.float32)
    if random.random() < 0.3:
        tones = tones[..., random.permutation(3)]
    if random.random() < 0.15:
        tones = np.repeat(tones.mean(axis=2, keepdims=True), 3, axis=2)
    if random.random() < 0.1:
        tones = 255 - tones
    tones = (tones - 128) * np.float32(random.uniform(0.6, 1.4)) + np.float32(128 + random.uniform(-40, 40))
    tones = 128 + (tones - 128) * (1 + random.normal(0, 0.08, 3)).astype(np.float32)
    if random.random() < 0.4:
        tones += random.standard_normal(tones.shape, np.float32) * np.float32(random.uniform(1, 8))
    if random.random() < 0.2:
        tones = cv2.GaussianBlur(tones, (0, 0), random.uniform(0.4, 1.2)).astype(np.float32, copy=False)
    return np.clip(np.rint(tones), 0, 255).astype(np.uint8)


def wanted(seen: Seen) -> Wanted:
    """What the network should say of a scene."""
    rows, columns = (-(-side // MULTIPLE) * MULTIPLE // CELL for side in seen.image.shape[:2])
    likely, told, unsaid = np.zeros((3, BINS, rows, columns), np.float32)
    offsets = np.zeros((3, BINS, rows, columns), np.float32)
    write(seen.discs, seen.doubtful, likely, offsets, told, unsaid)
    return Wanted(likely, offsets, told, unsaid)


@numba.njit(cache=True)
def write(
    discs: FloatArray,
    doubtful: FloatArray,
    likely: NDArray[np.float32],
    offsets: NDArray[np.float32],
    told: NDArray[np.float32],
    unsaid: NDArray[np.float32],
) -> None:
    """To arrays of zeros, as in `Wanted`."""
    bins, rows, columns = likely.shape
    for n in range(len(discs) + len(doubtful)):
        clear = n < len(discs)
        x, y, radius = discs[n] if clear else doubtful[n - len(discs)]
        level = np.log(radius / RADII[0]) / STEP
        u, v = min(max(x, 0), CELL * columns - 1), min(max(y, 0), CELL * rows - 1)
        width = max(WIDTH * radius, LEAST_WIDTH)
        nearest = min(max(int(np.rint(level)), 0), bins - 1)
        top, bottom = max(0, int((v - 3 * width) / CELL)), min(rows - 1, int((v + 3 * width) / CELL))
        left, right = max(0, int((u - 3 * width) / CELL)), min(columns - 1, int((u + 3 * width) / CELL))
        for b in range(max(0, nearest - 2), min(bins, nearest + 3)):
            for i in range(top, bottom + 1):
                for j in range(left, right + 1):
                    across, down = u - CELL * (j + 0.5), v - CELL * (i + 0.5)
                    far = (across**2 + down**2) / width**2 + ((level - b) / RADIUS_WIDTH) ** 2
                    value = np.exp(-far / 2)
                    if not clear:
                        unsaid[b, i, j] = max(unsaid[b, i, j], np.float32(value > UNSAID))
                        continue
                    likely[b, i, j] = max(likely[b, i, j], value)
                    if value > max(TOLD, told[b, i, j]):
                        told[b, i, j] = value
                        offsets[0, b, i, j] = (x - CELL * (j + 0.5)) / RADII[b]
                        offsets[1, b, i, j] = (y - CELL * (i + 0.5)) / RADII[b]
                        offsets[2, b, i, j] = level - b
        if clear:
            likely[nearest, int(v / CELL), int(u / CELL)] = 1


class Batches:
    """Batch by batch, (BATCH, ...) each: pictures (3, H, W), and what is `Wanted`.

    Each depends on its number alone, whoever makes it. The pictures of a batch are of one shape.
    """

    def __init__(self, scenes: Sequence[Seen], steps: int) -> None:
        self.scenes, self.steps = scenes, steps
        shapes = defaultdict(list)
        for number, seen in enumerate(scenes):
            shapes[seen.image.shape].append(number)
        self.groups = [shapes[shape] for shape in sorted(shapes)]
        self.shares = np.array([len(group) for group in self.groups]) / len(scenes)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[NDArray[Any], ...]:
        if step >= self.steps:
            raise IndexError(step)
        random = np.random.default_rng([step, 3])
        group = self.groups[random.choice(len(self.groups), p=self.shares)]
        views = [varied(random, self.scenes[number]) for number in random.choice(group, BATCH)]
        height, width = views[0].image.shape[:2]
        pad = ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0))
        pictures = np.stack([view.image for view in views]).astype(np.float32)
        pictures = np.pad((pictures - MIDDLE) / SPREAD, pad).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(pictures), *map(np.stack, zip(*map(wanted, views), strict=True))
