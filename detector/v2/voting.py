"""Where circles may be: edge points vote for centre and radius, along their gradients.

A Hough transform over (x, y, r) with gradient directions (Kimme, Ballard and Sklansky 1975; Ballard
1981). Radii go in steps of a fixed factor and the cells of centres grow with them, so that a level
costs as much as its cells. What counts in a cell is not how many points voted but from how many
directions: a texture votes often, a circle votes from all around.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, Real, compiled

STEP = 1.11
"""From one radius to the next."""
CELL, MIN_CELL = 0.09, 2.0
"""Side of a cell, in radii; and in pixels at least."""
MIN_RADIUS, MAX_RADIUS = 4.0, 0.72
"""The smallest in pixels, the largest as part of the short side."""
THINNING = 16
"""Pixels of radius for which one more edge point of so many is left out: about two votes a sector stay."""
MARGIN = 0.35
"""How far outside the frame a centre may lie, in radii."""
SECTORS = 32
"""Directions told apart: the bits of a cell."""
LEAST = 12
"""Directions, of SECTORS, from which a cell must have votes."""
MOST_PEAKS = 20_000
APART = 0.14
"""Of two seeds closer than this in centre and in radius (in radii), the stronger stays."""

X, Y, RADIUS, DIRECTIONS = range(4)
"""Columns of a seed: centre and radius in pixels, the part of all directions that voted for it."""

Bits = NDArray[np.uint32]
"""The cells of all levels, one after another: a bit for each direction."""


@lru_cache(maxsize=64)
def levels(width: int, height: int) -> NDArray[np.float64]:
    """(levels, 6): radius, cell side, columns, rows, first cell, thinning; for a picture's size."""
    count = int(np.log(MAX_RADIUS * min(width, height) / MIN_RADIUS) / np.log(STEP)) + 1
    radius = MIN_RADIUS * STEP ** np.arange(count)
    cell = np.maximum(MIN_CELL, CELL * radius)
    columns = np.ceil((width + 2 * MARGIN * radius) / cell) + 2
    rows = np.ceil((height + 2 * MARGIN * radius) / cell) + 2
    first = np.concatenate([[0], np.cumsum(columns * rows)[:-1]])
    thinning = np.maximum(1, np.floor(radius / THINNING))
    return np.stack([radius, cell, columns, rows, first, thinning], axis=1)


def seeds(x: Floats, y: Floats, nx: Floats, ny: Floats, width: int, height: int, most: int) -> Floats:
    """Circles with votes from most directions, (n, 4), best first; from edge points (n,) as `edges.thin`."""
    table = levels(width, height)
    last = table[-1]
    bits = np.zeros(int(last[4] + last[2] * last[3]) + 1, np.uint32)  # one more for votes outside
    vote(x, y, nx, ny, table, bits)
    found = peaks(bits, table)
    ranked: Floats = found[np.argsort(-found[:, DIRECTIONS], kind="stable")]
    kept: Floats = ranked[apart(ranked, most)]
    return kept


@compiled
def vote(x: Floats, y: Floats, nx: Floats, ny: Floats, table: NDArray[np.float64], bits: Bits) -> None:
    """Set, in each cell that a point votes for, the bit of the direction it votes from."""
    forward, backward = np.empty(len(x), np.uint32), np.empty(len(x), np.uint32)
    for n in range(len(x)):
        sector = int(np.arctan2(ny[n], nx[n]) * (SECTORS / (2 * np.pi)) + SECTORS) % SECTORS
        backward[n] = np.uint32(1) << np.uint32(sector)
        forward[n] = np.uint32(1) << np.uint32((sector + SECTORS // 2) % SECTORS)
    ahead, behind = np.empty(len(x), np.int32), np.empty(len(x), np.int32)
    fewer, fewer_bits = np.empty((4, len(x)), np.float32), np.empty((2, len(x)), np.uint32)
    count = 0
    for k in range(len(table)):
        thinning = int(table[k, 5])
        if k == 0 or thinning > 1:
            count = 0
            for n in range(k % thinning, len(x), thinning):
                fewer[0, count], fewer[1, count], fewer[2, count], fewer[3, count] = x[n], y[n], nx[n], ny[n]
                fewer_bits[0, count], fewer_bits[1, count] = forward[n], backward[n]
                count += 1
        cells(fewer, count, table[k], np.float32(1), len(bits) - 1, ahead)
        cells(fewer, count, table[k], np.float32(-1), len(bits) - 1, behind)
        for m in range(count):
            bits[np.uint32(ahead[m])] |= fewer_bits[0, m]
            bits[np.uint32(behind[m])] |= fewer_bits[1, m]


@compiled
def cells(
    points: Floats, count: int, level: NDArray[np.float64], side: Real, outside: int, out: NDArray[np.int32]
) -> None:
    """The cell of a level, (6,), where each of count points (4, n) votes, or `outside`, to out (n,).

    side: 1 for a centre ahead, along the gradient; -1 for one behind. Apart from the writing of votes, and
    without a branch, so that it runs in vectors.
    """
    x, y, nx, ny = points[0], points[1], points[2], points[3]
    radius, scale = np.float32(level[0]), np.float32(1 / level[1])
    columns, rows, first = np.float32(level[2]), np.float32(level[3]), np.int32(level[4])
    margin, row, nowhere = np.float32(MARGIN) * radius, np.int32(level[2]), np.int32(outside)
    for m in range(count):
        u, v = (
            (x[m] + side * radius * nx[m] + margin) * scale,
            (y[m] + side * radius * ny[m] + margin) * scale,
        )
        cell = np.int32(first + np.int32(v) * row + np.int32(u))
        out[m] = cell if (u >= 0) & (v >= 0) & (u < columns) & (v < rows) else nowhere


@compiled
def peaks(bits: Bits, table: NDArray[np.float64]) -> Floats:
    """Cells with votes from at least LEAST directions, (n, 4), in the order of cells."""
    found = np.empty((MOST_PEAKS, 4), np.float32)
    directions = np.empty(int(table[:, 2].max()), np.uint8)
    n = 0
    for k in range(len(table)):
        radius, cell = table[k, 0], table[k, 1]
        columns, rows, first = int(table[k, 2]), int(table[k, 3]), int(table[k, 4])
        margin = MARGIN * radius
        for v in range(rows - 1):
            upper = bits[first + v * columns : first + (v + 1) * columns]
            lower = bits[first + (v + 1) * columns : first + (v + 2) * columns]
            if count_directions(upper, lower, directions) < LEAST:
                continue
            for u in range(columns - 1):
                if directions[u] >= LEAST and n < len(found):
                    found[n, X], found[n, Y] = (u + 1) * cell - margin, (v + 1) * cell - margin
                    found[n, RADIUS], found[n, DIRECTIONS] = radius, directions[u] / np.float32(SECTORS)
                    n += 1
    return found[:n]


@compiled
def count_directions(upper: Bits, lower: Bits, directions: NDArray[np.uint8]) -> int | np.uint8:
    """In each block of two cells by two, of two rows (columns,), how many bits are set: to `directions`.

    Returns the most of any block.
    """
    most = np.uint8(0)
    for u in range(len(upper) - 1):  # no branch, so that it runs in vectors
        block = upper[u] | upper[u + 1] | lower[u] | lower[u + 1]
        block = block - ((block >> np.uint32(1)) & np.uint32(0x55555555))
        block = (block & np.uint32(0x33333333)) + ((block >> np.uint32(2)) & np.uint32(0x33333333))
        block = (block + (block >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
        block = np.uint32(block + (block >> np.uint32(8)))
        directions[u] = np.uint8((block + (block >> np.uint32(16))) & np.uint32(0x3F))
    for u in range(len(upper) - 1):
        most = max(most, directions[u])
    return most


@compiled
def apart(found: Floats, most: int) -> NDArray[np.int64]:
    """Of peaks (n, 4), best first, the rows of those that no better one lies near."""
    kept = np.empty(most, np.int64)
    n = 0
    for i in range(len(found)):
        if n == most:
            break
        near = False
        for m in range(n):
            j = kept[m]
            reach = APART * found[j, RADIUS]
            if (
                abs(found[i, X] - found[j, X]) < reach
                and abs(found[i, Y] - found[j, Y]) < reach
                and abs(found[i, RADIUS] - found[j, RADIUS]) < reach
            ):
                near = True
                break
        if not near:
            kept[n] = i
            n += 1
    return kept[:n]
