"""The strongest closed path through an unwrapped rim, and the ellipse that fits it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, Real, compiled

BEND = np.float32(0.05)
"""What a step to a neighbouring ring costs, where a clear edge is worth nearly 1."""

ROUNDS = 4
"""Of reweighting: a fit forgets where the path left the rim for something else."""


@compiled
def clearness(strength: Floats) -> None:
    """Strengths to 0..1, in place: a strong edge counts little more than a clear one.

    Otherwise half of a neighbour's bright rim would beat the whole of a faint one.
    """
    angles, rings = strength.shape
    mean = np.float32(0)
    for i in range(angles):
        for k in range(rings):
            mean += strength[i, k]
    mean = np.float32(2) * mean / np.float32(angles * rings) + np.float32(4)
    for i in range(angles):
        for k in range(rings):
            strength[i, k] = strength[i, k] / (strength[i, k] + mean)


@compiled
def follow(
    strength: Floats, low: Real, step: Real, total: Floats, back: NDArray[np.int8], path: Floats
) -> None:
    """The ring where the best closed path crosses each direction, to `path` (angles,), in radii.

    strength: (angles, rings). total, back: room for one and a half turns, (turns, rings + 2) and (turns,
    rings); total's first and last column stay at minus infinity. A circular shortest path by dynamic
    programming (Sun and Pallottino 2003): the last whole turn counts, what is before only lets it begin.
    """
    angles, rings = strength.shape
    turns = len(back)
    for k in range(rings):
        total[0, k + 1] = strength[0, k]
    for i in range(1, turns):
        here, last, now, origin = strength[i % angles], total[i - 1], total[i], back[i]
        for k in range(rings):  # no branch, so that it runs in vectors
            stay, left, right = last[k + 1], last[k] - BEND, last[k + 2] - BEND
            best = max(stay, max(left, right))
            now[k + 1] = best + here[k]
            origin[k] = np.int8(best == right) - np.int8(best == left) if best > stay else np.int8(0)
    ring = 0
    for k in range(rings):
        if total[turns - 1, k + 1] > total[turns - 1, ring + 1]:
            ring = k
    for i in range(turns - 1, turns - 1 - angles, -1):
        n = i % angles
        path[n] = low + step * ring
        if 0 < ring < rings - 1:  # between rings, by the parabola through three
            before, after = strength[n, ring - 1], strength[n, ring + 1]
            curve = before + after - 2 * strength[n, ring]
            if curve < 0:
                top = (before - after) / (2 * curve)
                path[n] += step * min(np.float32(0.5), max(np.float32(-0.5), top))
        ring += back[i, ring]


@compiled
def fit(path: Floats, weight: Floats, basis: Floats, scale: Real, give: Real, out: Floats) -> Real:
    """Harmonics r0 + dx cos t + dy sin t + e1 cos 2t + e2 sin 2t through a path, to `out`; their residual.

    basis: (5, angles). Iteratively reweighted least squares with Cauchy weights of this scale (Holland and
    Welsch 1977); `give` holds back the terms that bend a circle.
    """
    angles = len(path)
    matrix, solution = np.empty((5, 6), np.float32), np.zeros(5, np.float32)
    weighted, wanted = np.empty((5, angles), np.float32), np.empty(angles, np.float32)
    robust = np.empty(angles, np.float32)
    for i in range(angles):
        wanted[i], robust[i] = path[i] - 1, 1
    squares, count = np.float32(0), np.float32(0)
    for _ in range(ROUNDS):
        for p in range(5):  # loops over the angles are innermost, so that they run in vectors
            for i in range(angles):
                weighted[p, i] = weight[i] * robust[i] * basis[p, i]
            for q in range(p, 5):
                matrix[p, q] = matrix[q, p] = dot(weighted[p], basis[q])
            matrix[p, 5] = dot(weighted[p], wanted)
            matrix[p, p] += np.float32(1e-3) + np.float32(give) * (0 if p == 0 else 0.2 if p < 3 else 1)
        solve(matrix, solution)
        r0, dx, dy, e1, e2 = solution
        squares, count = np.float32(0), np.float32(1e-9)
        for i in range(angles):
            rest = wanted[i] - (r0 * basis[0, i] + dx * basis[1, i] + dy * basis[2, i])
            rest -= e1 * basis[3, i] + e2 * basis[4, i]
            u = rest / scale
            robust[i] = 1 / (1 + u * u)
            squares += weight[i] * robust[i] * rest * rest
            count += weight[i] * robust[i]
    for p in range(5):
        out[p] = solution[p]
    out[0] += 1
    residual: Real = np.sqrt(squares / count)
    return residual


@compiled
def dot(one: Floats, other: Floats) -> np.float32:
    total = np.float32(0)
    for i in range(len(one)):
        total += one[i] * other[i]
    return total


@compiled
def solve(matrix: Floats, solution: Floats) -> None:
    """Gauss elimination of a positive definite (5, 6), which needs no pivots; overwrites it."""
    for p in range(5):
        for q in range(p + 1, 5):
            factor = matrix[q, p] / matrix[p, p]
            for r in range(p, 6):
                matrix[q, r] -= factor * matrix[p, r]
    for p in range(4, -1, -1):
        total = matrix[p, 5]
        for q in range(p + 1, 5):
            total -= matrix[p, q] * solution[q]
        solution[p] = total / matrix[p, p]


@compiled
def compose(ellipse: Floats, harmonics: Floats, out: Floats) -> None:
    """The ellipse (x, y, a, b, angle) whose outline is the harmonics around another, to `out`."""
    x, y, a, b, turn = ellipse
    r0, dx, dy, e1, e2 = harmonics
    c, s = np.cos(turn), np.sin(turn)
    # In the frame where the old outline is the unit circle, the new one is (dx, dy) + (r0 + E) u with
    # E = [[e1, e2], [e2, -e1]]. In pixels that is M u; its half axes are M's singular values.
    m00, m01 = a * (r0 + e1), a * e2
    m10, m11 = b * e2, b * (r0 - e1)
    p00, p01 = c * m00 - s * m10, c * m01 - s * m11
    p10, p11 = s * m00 + c * m10, s * m01 + c * m11
    s00, s01, s11 = p00 * p00 + p01 * p01, p00 * p10 + p01 * p11, p10 * p10 + p11 * p11
    half, root = (s00 + s11) / 2, np.sqrt(((s00 - s11) / 2) ** 2 + s01 * s01)
    out[0] = x + c * a * dx - s * b * dy
    out[1] = y + s * a * dx + c * b * dy
    out[2] = np.sqrt(max(half + root, 1e-6))
    out[3] = np.sqrt(max(half - root, 1e-6))
    out[4] = 0.5 * np.arctan2(2 * s01, s00 - s11)
