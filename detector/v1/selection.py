"""Which scored candidates stay: one for each round thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from detector.circles import FloatArray, overlap

CONCENTRIC = 0.25
"""Centres closer than this part of the larger radius belong to rings of one thing."""

MAX_OVERLAP = 0.6
"""Of the smaller circle's area: coins may lie partly on one another."""

Conflict: TypeAlias = Callable[[FloatArray, FloatArray, float], NDArray[np.bool_]]
"""Distances (n,) and radii (n,) of others, and one's own radius: which others cannot stay."""


def select(centre: FloatArray, radius: FloatArray, score: FloatArray) -> NDArray[np.intp]:
    """Indices of the circles to keep, best first, in two passes of non-maximum suppression.

    centre: (n, 2); radius, score: (n,). Of concentric rings the one with most rim behind it stays
    (score times radius): a coin's outer rim, though a ring inside it is often the sharper one.
    Then, of circles that overlap, the one with the highest score: a plate does not hide its coins.
    """
    things = suppress(centre, radius, score * radius, concentric)
    kept = suppress(centre[things], radius[things], score[things], overlapping)
    return things[kept]


def suppress(
    centre: FloatArray, radius: FloatArray, strength: FloatArray, conflict: Conflict
) -> NDArray[np.intp]:
    """Keep the strongest, drop what conflicts with it, and so on: indices, strongest first."""
    waiting = np.argsort(-strength, kind="stable")
    kept = []
    while len(waiting):
        best, rest = waiting[0], waiting[1:]
        kept.append(best)
        distance = np.hypot(*(centre[rest] - centre[best]).T)
        waiting = rest[~conflict(distance, radius[rest], radius[best])]
    return np.array(kept, dtype=np.intp)


def concentric(distance: FloatArray, radius: FloatArray, other: float) -> NDArray[np.bool_]:
    return distance < CONCENTRIC * np.maximum(radius, other)


def overlapping(distance: FloatArray, radius: FloatArray, other: float) -> NDArray[np.bool_]:
    return overlap(distance, radius, other) > MAX_OVERLAP
