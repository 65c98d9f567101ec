"""Small pictures made to break loops without bounds checks: `python -m tests.detector.v2.hostile`.

Run with NUMBA_BOUNDSCHECK=1, where an index outside an array raises IndexError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product

import numpy as np

from detector.v2 import features, network, paths, rims
from detector.v2.compiled import Floats
from detector.v2.edges import picture
from detector.v2.fine import SEARCH
from detector.v2.model import find_all
from detector.v2.propose import COARSE
from tests.detector.v2.drawing import Image, disc, drawn


def pictures() -> Iterator[tuple[str, Image]]:
    random = np.random.default_rng(1)
    for height, width in ((16, 16), (17, 31), (16, 320), (320, 16), (16, 640), (90, 120)):
        yield f"noise {width} x {height}", random.integers(0, 256, (height, width, 3), np.uint8)
        yield f"black and white {width} x {height}", 255 * random.integers(0, 2, (height, width), np.uint8)
    row, column = np.mgrid[:64, :96]
    for period in (2, 3, 8):
        yield f"stripes {period}", np.uint8(255) * (column // period % 2).astype(np.uint8)
        yield f"checks {period}", np.uint8(255) * ((row // period + column // period) % 2).astype(np.uint8)
    for y, x in product((0, 45, 90), (0, 60, 120)):
        yield f"disc at {x}, {y}", drawn([disc(x, y, 22)], 120, 90)
    for radius in (4, 30, 45, 60, 200):
        yield f"disc of {radius}", drawn([disc(60, 45, radius)], 120, 90, grain=0)
    rho = np.hypot(row - 32, column - 48)
    yield "rings", (127 + 127 * np.cos(rho)).astype(np.uint8)
    yield "zone plate", (127 + 127 * np.cos(rho**2 / 20)).astype(np.uint8)
    yield "rays", np.uint8(255) * (np.arctan2(row - 31.5, column - 47.5) * 8 % 2 < 1).astype(np.uint8)
    for size in ((640, 480), (333, 257)):
        yield f"crowd {size}", drawn([disc(*spot) for spot in crowd(*size)], *size)


def crowd(width: int, height: int) -> list[tuple[float, float, float]]:
    spots = np.random.default_rng(2).uniform((-20, -20, 6), (width + 20, height + 20, 60), (60, 3))
    return [(x, y, radius) for x, y, radius in spots.tolist()]


def candidates() -> Floats:
    """Finite ones that voting would never give: far outside, of no size, larger than the picture."""
    centres, sizes = (-1e6, -3.0, 0.0, 40.0, 119.0, 1e6), (1e-6, 1.0, 30.0, 1e5)
    rows = [(x, y, a, b, 0.7) for x, y, a, b in product(centres, centres, sizes, sizes) if b <= a]
    return np.array(rows, np.float32)


def main() -> None:
    if os.environ.get("NUMBA_BOUNDSCHECK") != "1":
        raise SystemExit("run this with NUMBA_BOUNDSCHECK=1")
    try:
        five = np.ones(5, np.float32)
        paths.compose(five, five, np.ones(3, np.float32))
    except IndexError:
        pass
    else:
        raise SystemExit("bounds are not checked")
    shown = 0
    for name, image in pictures():
        try:
            find_all(image)
        except IndexError as error:
            raise SystemExit(f"{name}: {error}") from error
        shown += 1
    small = picture(drawn([disc(60, 45, 22)], 120, 90))
    odd = candidates()
    rims.trace(small.gradient, odd, *COARSE)
    rims.refine(small.colours, odd, *SEARCH)
    table = np.empty((len(odd), len(features.NAMES)), np.float32)
    features.describe(*small, odd, np.float32(1), np.float32(1 / 120), table)
    network.evidence(*network.glance(drawn([disc(60, 45, 22)], 120, 90)), odd, table)
    print(f"{shown} pictures")


if __name__ == "__main__":
    main()
