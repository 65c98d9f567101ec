"""Sums and orders of a few numbers: the first so many of an array that is longer."""

from __future__ import annotations

import numpy as np

from detector.v2.compiled import Floats, compiled


@compiled
def ordered(values: Floats, count: int, out: Floats) -> None:
    """The first so many, ascending, to out: by their ranks, as they are few and ranks run in vectors."""
    for i in range(count):
        value, rank = values[i], 0
        for j in range(i):
            rank += values[j] <= value
        for j in range(i + 1, count):
            rank += values[j] < value
        out[rank] = value


@compiled
def total(values: Floats, count: int) -> np.float32:
    summed = np.float32(0)
    for i in range(count):
        summed += values[i]
    return summed
