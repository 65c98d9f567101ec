"""Which scored candidates stay: one for each round thing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, Real, compiled
from detector.v2.neighbours import overlap

SAME = 0.4
"""Of the union: two that share more are one thing."""

CONCENTRIC, RING = 0.2, 0.45
"""Centres closer than the one (in radii of the larger), radii within the other: rings of one thing."""


def select(candidates: Floats, score: Floats, least: Real) -> NDArray[np.int64]:
    """Rows of candidates (n, 5) to keep, best first: greedy non-maximum suppression.

    score: (n,), higher is better; none below `least` stays.
    """
    order = np.argsort(-score, kind="stable")
    return suppressed(candidates, order[score[order] >= least])


@compiled
def suppressed(candidates: Floats, order: NDArray[np.int64]) -> NDArray[np.int64]:
    kept = np.empty(len(order), np.int64)
    count = 0
    for i in order:
        stays = True
        for m in range(count):
            if one_thing(candidates[i], candidates[kept[m]]):
                stays = False
                break
        if stays:
            kept[count] = i
            count += 1
    return kept[:count]


@compiled
def one_thing(one: Floats, other: Floats) -> bool:
    """Whether two ellipses, (5,) each, lie on one round thing; each taken as the circle of its area."""
    radius, other_radius = np.sqrt(one[2] * one[3]), np.sqrt(other[2] * other[3])
    dx, dy = one[0] - other[0], one[1] - other[1]
    distance = np.sqrt(dx * dx + dy * dy)
    large, small = max(radius, other_radius), min(radius, other_radius)
    shared = overlap(distance, large, small) * small * small
    same = shared > SAME * (large * large + small * small - shared)
    return bool(same or (distance < CONCENTRIC * large and small > RING * large))
