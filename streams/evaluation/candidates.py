"""Which circles of an image may overlap enough at all: quick, by their bounding boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from streams.evaluation.found import Found, Longs

Doubles: TypeAlias = NDArray[np.float64]
Sides: TypeAlias = tuple[Doubles, Doubles, Doubles, Doubles]
"""x_min, y_min, x_max, y_max of k boxes, (k,) each."""


def candidates(
    a: Found, b: Found, sides: tuple[Sides, Sides], areas: tuple[Doubles, Doubles], threshold: float
) -> tuple[Longs, Longs]:
    """All pairs of a circle of a and one of b in the same image whose IoU may reach a threshold above 0.

    sides: of boxes around the circles of a and of b; areas: (k,) of what is inside them. Returns indices
    (pairs,) of a, in order, and of b, in order for each of a.
    """
    # What is shared is in both boxes, and an IoU of t needs t / (1 + t) of both areas together.
    least = threshold / (1 + threshold) * (1 - 1e-9)
    room = max(len(a.x), len(b.x))
    while True:
        pairs = np.empty((2, room), np.int64)
        count = compiled(a.offsets, b.offsets, sides, areas, least, pairs)
        if count <= room:
            return pairs[0, :count], pairs[1, :count]
        room = count


def _overlapping(begin_a: Any, begin_b: Any, sides: Any, areas: Any, least: float, pairs: Any) -> int:
    """How many pairs there are; as many of them as there is room for are in `pairs`, (2, room), then."""
    (left_a, top_a, right_a, bottom_a), (left_b, top_b, right_b, bottom_b) = sides
    area_a, area_b = areas
    count = 0
    for image in range(len(begin_a) - 1):
        for i in range(begin_a[image], begin_a[image + 1]):
            for j in range(begin_b[image], begin_b[image + 1]):
                width = min(right_a[i], right_b[j]) - max(left_a[i], left_b[j])
                if width <= 0:
                    continue
                height = min(bottom_a[i], bottom_b[j]) - max(top_a[i], top_b[j])
                if height <= 0 or width * height < least * (area_a[i] + area_b[j]):
                    continue
                if count < pairs.shape[1]:
                    pairs[0, count], pairs[1, count] = i, j
                count += 1
    return count


compiled: Callable[..., int] = numba.njit(cache=True, nogil=True)(_overlapping)
