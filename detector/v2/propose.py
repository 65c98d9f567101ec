"""From an image to described candidates: voting and guessing, tracing, joining what is the same."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.v2 import edges, features, network, rims, voting
from detector.v2.compiled import Floats, compiled

EDGES = 6000
"""Edge points that vote, and the seeds and candidates that remain after each step."""
SEEDS = 250
TRACED = 90

COARSE = rims.Search(low=0.72, high=1.32, rings=20, angles=24, give=0.5)
FINE = rims.Search(low=0.8, high=1.2, rings=21, angles=24, give=0.3)

MIN_AXIS_RATIO = 0.5
MIN_MINOR = 3
"""Pixels of half an axis; below, everything is round."""
MAX_MAJOR = 0.8
"""Of the short side."""
MIN_VISIBLE = 0.35

SAME, SAME_RATIO = 0.045, 0.12
"""One rim: closer in centre and in radius (in radii), and in axis ratio."""
NEAR = 0.2
"""In radii: not the same rim, and yet from the same edges."""


NAMES = (*features.NAMES, *network.NAMES)
"""Columns of features."""


class Candidates(NamedTuple):
    """ellipses: (n, 5) x, y, a, b, angle in pixels of the searched picture; features: as NAMES."""

    ellipses: Floats
    features: Floats


class Rims(NamedTuple):
    """Rims traced, and the seeds that led to them.

    traced: (n, 8) as `rims.trace` gives them; radius: (n,) of the seed, pixels; directions: (n,) the part of
    all directions that voted for it; here, near: (n,) other rims that were the same, or nearly.
    """

    traced: Floats
    radius: Floats
    directions: Floats
    here: Floats
    near: Floats

    def taken(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Rims:
        return Rims(*(column[rows] for column in self))


def reduced(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image (H, W, 3) or (H, W) whose long side is `side` pixels at most."""
    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / side)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def propose(small: NDArray[np.uint8]) -> Candidates:
    """Candidates of a picture, (H, W, 3) or (H, W), at the scale where they are sought."""
    picture = edges.picture(small)
    first, directions = joined(traced(picture, seeded(picture), COARSE))
    best = first._replace(directions=directions).taken(slice(TRACED))
    glance = network.glance(small)
    begun = Rims(*(np.concatenate(both) for both in zip(best, guessed(glance), strict=True)))
    last, _ = joined(traced(picture, begun, FINE))
    return described(picture, glance, last)


def seeded(picture: edges.Picture) -> Rims:
    """Circles by voting."""
    height, width = picture.ratio.shape
    x, y, nx, ny = edges.thin(picture.gradient, picture.ratio, EDGES)
    seeds = voting.seeds(x, y, nx, ny, width, height, SEEDS)
    return begin(seeds[:, [voting.X, voting.Y, voting.RADIUS]], seeds[:, voting.DIRECTIONS])


def guessed(glance: network.Glance) -> Rims:
    """Circles by the network, which nobody has voted for."""
    circles = glance.guesses[:, :3]
    return begin(circles, np.zeros(len(circles), np.float32))


def begin(circles: Floats, directions: Floats) -> Rims:
    """Circles (n, 3) of x, y, radius, to be traced."""
    traced = np.zeros((len(circles), rims.VISIBLE + 1), np.float32)
    traced[:, [rims.X, rims.Y, rims.MAJOR]] = circles
    traced[:, rims.MINOR] = circles[:, 2]
    none = np.zeros(len(circles), np.float32)
    return Rims(traced, circles[:, 2], directions, none, none)


def traced(picture: edges.Picture, begun: Rims, search: rims.Search) -> Rims:
    """The rims as traced (again), without those that no round thing has."""
    height, width = picture.ratio.shape
    ellipses = np.ascontiguousarray(begun.traced[:, : rims.CLEAR])
    rows = rims.trace(picture.gradient, ellipses, *search)
    return begun._replace(traced=rows).taken(plausible(rows, width, height))


def plausible(traced: Floats, width: int, height: int) -> NDArray[np.bool_]:
    a, b = traced[:, rims.MAJOR], traced[:, rims.MINOR]
    whole = np.isfinite(traced).all(axis=1) & (traced[:, rims.VISIBLE] > MIN_VISIBLE)
    sized = (b > MIN_MINOR) & (a < MAX_MAJOR * min(width, height))
    return np.asarray(whole & sized & (b > MIN_AXIS_RATIO * a))


def joined(begun: Rims) -> tuple[Rims, Floats]:
    """One rim of each that are the same, the clearest first; and the most directions that voted for one."""
    clearest = np.argsort(-begun.traced[:, rims.CLEAR], kind="stable")
    rows, here, near, directions = join(begun.traced, begun.directions, clearest)
    kept = begun.taken(rows)
    return kept._replace(here=kept.here + here, near=kept.near + near), directions[rows]


@compiled
def join(
    traced: Floats, directions: Floats, order: NDArray[np.intp]
) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Of rims (n, 8) that are the same, the clearest path.

    order: (n,) rows, the clearest first. Returns its row, how many others were the same, and how many near,
    (kept,) each; and directions (n,), at a kept row the most of those that were the same.
    """
    directions = directions.copy()
    radius = np.sqrt(traced[:, 2] * traced[:, 3])
    kept = np.empty(len(traced), np.int64)
    here, near = np.zeros(len(traced), np.float32), np.zeros(len(traced), np.float32)
    n = 0
    for i in order:
        single = True
        for m in range(n):
            j = kept[m]
            r, dx, dy = radius[j], traced[i, 0] - traced[j, 0], traced[i, 1] - traced[j, 1]
            if abs(dx) >= NEAR * r or abs(dy) >= NEAR * r or abs(radius[i] - r) >= NEAR * r:
                continue
            apart = max(np.sqrt(dx * dx + dy * dy), abs(radius[i] - r)) / r
            ratio = abs(traced[i, 3] / traced[i, 2] - traced[j, 3] / traced[j, 2])
            if apart < NEAR:
                near[m] += 1
            if apart < SAME and ratio < SAME_RATIO:
                here[m] += 1
                single = False
                if directions[i] > directions[j]:
                    directions[j] = directions[i]
                break
        if single:
            kept[n] = i
            n += 1
    return kept[:n], here[:n], near[:n], directions


def described(picture: edges.Picture, glance: network.Glance, begun: Rims) -> Candidates:
    """Rims with their features."""
    height, width = picture.ratio.shape
    ellipses = np.ascontiguousarray(begun.traced[:, : rims.CLEAR])
    table = np.zeros((len(ellipses), len(NAMES)), np.float32)
    noise = np.float32(np.median(np.hypot(picture.gradient[::4, ::4, 0], picture.gradient[::4, ::4, 1])))
    features.describe(*picture, ellipses, noise, np.float32(1 / max(width, height)), table)
    radius = np.sqrt(ellipses[:, rims.MAJOR] * ellipses[:, rims.MINOR])
    table[:, features.PATH] = begun.traced[:, rims.CLEAR]
    table[:, features.RESIDUAL] = begun.traced[:, rims.RESIDUAL]
    table[:, features.RESIDUAL_PX] = begun.traced[:, rims.RESIDUAL] * radius
    table[:, features.MOVED] = np.abs(np.log(radius / begun.radius))
    table[:, features.SEED_DIRECTIONS] = begun.directions
    table[:, features.SEEDS_HERE] = begun.here
    table[:, features.SEEDS_NEAR] = begun.near
    network.evidence(*glance, ellipses, table[:, len(features.NAMES) :])
    return Candidates(ellipses, table)
