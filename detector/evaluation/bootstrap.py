"""Figures with their 95 % interval: the images are drawn again, with replacement, many times.

Every statistic is a function of how often each image counts. With each counting once it is the
figure, and over drawn counts its spread is the interval (percentile bootstrap, Efron 1979).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from detector.circles import FloatArray

RESAMPLES = 1000
SEED = 0
MOST_CELLS = 10_000_000
"""Of an array that is worked on at once."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its 95 % interval. NaN: there was nothing to measure it on."""

    value: float
    low: float
    high: float


Statistic: TypeAlias = Callable[[FloatArray], FloatArray]
"""How often each image counts, (samples, images), to as many rows of figures, (samples, figures)."""


def estimate(statistic: Statistic, images: int, cells: int = 1) -> list[Figure]:
    """The figures of a statistic over this many images, the same ones at every call.

    cells: the numbers that it works on per sample. With one image there is no interval.
    """
    (value,) = statistic(np.ones((1, images)))
    if images < 2:
        return [Figure(v, np.nan, np.nan) for v in value.tolist()]
    draws = np.random.default_rng(SEED).multinomial(images, np.full(images, 1 / images), RESAMPLES)
    rows = max(1, MOST_CELLS // max(cells, images))
    drawn = np.vstack([statistic(draws[at : at + rows].astype(float)) for at in range(0, RESAMPLES, rows)])
    return [Figure(v, *interval(column)) for v, column in zip(value.tolist(), drawn.T, strict=True)]


def interval(drawn: FloatArray) -> tuple[float, float]:
    known = drawn[np.isfinite(drawn)]  # a sample may hold no circle at all
    if not len(known):
        return np.nan, np.nan
    low, high = np.percentile(known, [2.5, 97.5]).tolist()
    return low, high


def ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Their quotient, NaN where the whole is nothing."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0))


def quantiles(values: FloatArray, weights: FloatArray, shares: tuple[float, ...]) -> FloatArray:
    """Weighted quantiles, (samples, shares): the least value with that share of the weight up to it.

    values: (n,); weights: (samples, n). NaN where all weights are 0.
    """
    if not len(values):
        return np.full((len(weights), len(shares)), np.nan)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)
    whole = reached[:, -1]
    # Weights are counts, so half a unit is far above rounding and below the next count.
    columns = [(reached < (share * whole)[:, None] - 1e-9).sum(axis=1) for share in shares]
    picked = values[order][np.minimum(np.stack(columns, axis=1), len(values) - 1)]
    return np.where(whole[:, None] > 0, picked, np.nan)
