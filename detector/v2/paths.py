"""The strongest closed path through an unwrapped rim, and the ellipse that fits it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.v2.compiled import Floats, Real, compiled

BEND = np.float32(0.05)
"""What a step to a neighbouring ring costs, where a clear edge is worth nearly 1."""

ROUNDS = 4
"""Of reweighting: a fit forgets where the path left the rim for something else."""


class Room(NamedTuple):
    """Arrays to work in, made once for many candidates.

    strength: (angles, rings); total: (turns, rings + 2), the best way to each ring in one and a half turns,
    its first and last column at minus infinity; path: (angles,) in radii; weight: (angles,) of each
    direction; basis: (5, angles), harmonics of each; the rest: as `fit` uses them.
    """

    strength: Floats
    total: Floats
    path: Floats
    weight: Floats
    basis: Floats
    weighted: Floats
    robust: Floats
    matrix: Floats
    harmonics: Floats


@compiled
def room(angles: int, rings: int) -> Room:
    """Room for rims of so many directions and rings."""
    turns = angles + angles // 2
    basis = np.empty((5, angles), np.float32)
    for i in range(angles):
        turn = i * (2 * np.pi / angles)
        basis[0, i], basis[1, i], basis[2, i] = 1, np.cos(turn), np.sin(turn)
        basis[3, i], basis[4, i] = np.cos(2 * turn), np.sin(2 * turn)
    total = np.empty((turns, rings + 2), np.float32)
    for i in range(turns):
        total[i, 0] = total[i, rings + 1] = -1e9
    one = np.empty((4, angles), np.float32)
    return Room(
        np.empty((angles, rings), np.float32), total, one[0], one[1], basis, one[2], one[3],
        np.empty((5, 6), np.float32), np.empty(5, np.float32),
    )  # fmt: skip


@compiled
def clearness(strength: Floats) -> None:
    """Strengths to 0..1, in place: a strong edge counts little more than a clear one.

    Otherwise half of a neighbour's bright rim would beat the whole of a faint one.
    """
    flat = strength.reshape(-1)
    mean = np.float32(0)
    for i in range(len(flat)):
        mean += flat[i]
    mean = np.float32(2) * mean / np.float32(len(flat)) + np.float32(4)
    for i in range(len(flat)):
        flat[i] = flat[i] / (flat[i] + mean)


@compiled
def follow(low: Real, step: Real, room: Room) -> None:
    """The ring where the best closed path through the strengths crosses each direction, to the room's path.

    A circular shortest path by dynamic programming (Sun and Pallottino 2003): the last whole turn counts,
    what is before only lets it begin.
    """
    strength, total, path = room.strength, room.total, room.path
    angles, rings = strength.shape
    last = len(total) - 1
    for k in range(rings):
        total[0, k + 1] = strength[0, k]
    for i in range(1, last + 1):
        turn = i if i < angles else i - angles
        for k in range(rings):  # no branch, so that it runs in vectors
            stay, left, right = total[i - 1, k + 1], total[i - 1, k], total[i - 1, k + 2]
            beside = (left if left > right else right) - BEND
            total[i, k + 1] = (beside if beside > stay else stay) + strength[turn, k]
    ring = 0
    for k in range(rings):
        if total[last, k + 1] > total[last, ring + 1]:
            ring = k
    for i in range(last, last - angles, -1):
        turn = i if i < angles else i - angles
        path[turn] = low + step * (ring + between(strength, turn, ring))
        stay, left, right = total[i - 1, ring + 1], total[i - 1, ring], total[i - 1, ring + 2]
        if max(left, right) - BEND > stay:
            ring += 1 if right > left else -1


@compiled
def between(strength: Floats, turn: int, ring: int) -> Real:
    """How far the top of the parabola through a ring and its two neighbours is from it, in rings."""
    if not 0 < ring < strength.shape[1] - 1:
        return np.float32(0)
    before, after = strength[turn, ring - 1], strength[turn, ring + 1]
    curve = before + after - 2 * strength[turn, ring]
    if curve >= 0:
        return np.float32(0)
    top: Real = min(np.float32(0.5), max(np.float32(-0.5), (before - after) / (2 * curve)))
    return top


@compiled
def fit(scale: Real, give: Real, room: Room) -> Real:
    """Harmonics r0 + dx cos t + dy sin t + e1 cos 2t + e2 sin 2t through the room's path; their residual.

    Iteratively reweighted least squares with Cauchy weights of this scale (Holland and Welsch 1977); `give`
    holds back the terms that bend a circle.
    """
    path, weight, basis = room.path, room.weight, room.basis
    weighted, robust, matrix, harmonics = room.weighted, room.robust, room.matrix, room.harmonics
    angles = len(path)
    for i in range(angles):
        path[i] -= 1
        robust[i] = 1
    squares, count = np.float32(0), np.float32(0)
    for _ in range(ROUNDS):
        for p in range(5):  # loops over the angles are innermost, so that they run in vectors
            onto = np.float32(0)
            for i in range(angles):
                weighted[i] = weight[i] * robust[i] * basis[p, i]
                onto += weighted[i] * path[i]
            matrix[p, 5] = onto
            for q in range(p, 5):
                both = np.float32(0)
                for i in range(angles):
                    both += weighted[i] * basis[q, i]
                matrix[p, q] = matrix[q, p] = both
            matrix[p, p] += np.float32(1e-3) + np.float32(give) * (0 if p == 0 else 0.2 if p < 3 else 1)
        solve(matrix, harmonics)
        r0, dx, dy, e1, e2 = harmonics
        squares, count = np.float32(0), np.float32(1e-9)
        for i in range(angles):
            rest = path[i] - (r0 * basis[0, i] + dx * basis[1, i] + dy * basis[2, i])
            rest -= e1 * basis[3, i] + e2 * basis[4, i]
            u = rest / scale
            robust[i] = 1 / (1 + u * u)
            squares += weight[i] * robust[i] * rest * rest
            count += weight[i] * robust[i]
    harmonics[0] += 1
    residual: Real = np.sqrt(squares / count)
    return residual


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
