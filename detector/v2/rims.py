"""Rims traced: the picture unwrapped around a candidate, and the ellipse through the strongest path.

Rows of an unwrapped rim are directions, columns are rings that grow from the candidate's own outline,
so that a circle seen at an angle is a straight line too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.v2.compiled import Floats, Packed, Real, compiled, plane
from detector.v2.paths import Room, clearness, compose, fit, follow, room

X, Y, MAJOR, MINOR, ANGLE, CLEAR, RESIDUAL, VISIBLE = range(8)
"""Columns of a traced rim: its ellipse in pixels and radians; how clear the path is, 0 to 1; root mean
square distance of the path from the ellipse, in radii; the part of the outline inside the frame."""

SIDE_RINGS = 1
"""Rings sampled beyond the first and the last, for the colours on both sides of every ring."""


class Search(NamedTuple):
    """Where a rim is looked for.

    low, high: the innermost and outermost ring, in parts of the candidate's outline; rings: how many from
    the one to the other; angles: directions; give: what holds back a fit from bending or moving (0: nothing).
    """

    low: float
    high: float
    rings: int
    angles: int
    give: float


@compiled
def trace(
    gradient: Floats, candidates: Floats, low: float, high: float, rings: int, angles: int, give: float
) -> Floats:
    """Follow the rim of each candidate, (n, 5) of x, y, a, b, angle, through gradients (H, W).

    low to give: as in `Search`. Returns (n, 8).
    """
    out = np.empty((len(candidates), 8), np.float32)
    working = room(angles, rings)
    strength, weight, basis = working.strength, working.weight, working.basis
    step, first = np.float32((high - low) / (rings - 1)), np.float32(low)
    height, width = np.float32(gradient.shape[0]), np.float32(gradient.shape[1])
    columns, flat = np.int32(gradient.shape[1]), gradient.reshape(-1)
    places = np.empty(rings, np.int32)
    for n in range(len(candidates)):
        x, y, a, b, turn = candidates[n]
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        for i in range(angles):
            ux, uy, vx, vy = ray(a, b, c, s, basis[1, i], basis[2, i])
            weight[i] = inside(x + ux, y + uy, width, height)
            for k in range(rings):  # apart from the reading, so that it runs in vectors
                rho = first + step * np.float32(k)
                px, py = x + rho * ux + np.float32(0.5), y + rho * uy + np.float32(0.5)
                within = (px >= 0) & (py >= 0) & (px < width) & (py < height)
                places[k] = 2 * (np.int32(py) * columns + np.int32(px)) if within else np.int32(-1)
            for k in range(rings):
                place = np.uint32(max(places[k], np.int32(0)))  # unsigned: none counts from the end
                across = abs(flat[place] * vx + flat[place + np.uint32(1)] * vy)
                strength[i, k] = across if places[k] >= 0 else np.float32(0)
        settle(candidates[n], first, step, np.float32(give), working, out[n])
    return out


@compiled
def refine(
    colours: Packed, candidates: Floats, low: float, high: float, rings: int, angles: int, give: float
) -> Floats:
    """As `trace`, through the colours themselves, (H, W): for few candidates, without gradients of all.

    The strength of a ring is how far the colours on its two sides are from each other.
    """
    height, width = np.float32(colours.shape[0]), np.float32(colours.shape[1])
    out = np.empty((len(candidates), 8), np.float32)
    working = room(angles, rings)
    strength, weight, basis = working.strength, working.weight, working.basis
    samples = np.empty((3, rings + 2 * SIDE_RINGS), np.float32)
    corners = np.empty((4, rings + 2 * SIDE_RINGS), np.uint32)
    parts = np.empty((2, rings + 2 * SIDE_RINGS), np.float32)
    step = np.float32((high - low) / (rings - 1))
    first = np.float32(low) - SIDE_RINGS * step
    for n in range(len(candidates)):
        x, y, a, b, turn = candidates[n]
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        for i in range(angles):
            ux, uy, _, _ = ray(a, b, c, s, basis[1, i], basis[2, i])
            weight[i] = inside(x + ux, y + uy, width, height)
            between(colours, x + first * ux, y + first * uy, step * ux, step * uy, corners, parts, samples)
            for k in range(rings):
                light = samples[0, k + 2 * SIDE_RINGS] - samples[0, k]
                red = samples[1, k + 2 * SIDE_RINGS] - samples[1, k]
                blue = samples[2, k + 2 * SIDE_RINGS] - samples[2, k]
                coloured = np.float32(2.25) * (red * red + blue * blue)  # as edges.CHROMA, squared
                strength[i, k] = np.float32(4) * np.sqrt(light * light + coloured)
        settle(candidates[n], np.float32(low), step, np.float32(give), working, out[n])
    return out


@compiled
def between(
    colours: Packed, x: Real, y: Real, dx: Real, dy: Real, corners: Packed, parts: Floats, out: Floats
) -> None:
    """Colours along a line from (x, y) in steps of (dx, dy), each from four pixels, to `out` (3, n).

    corners: (4, n) and parts: (2, n) are room: places first, so that all but the reading runs in vectors.
    """
    columns, flat = colours.shape[1], colours.reshape(-1)
    right, bottom = np.float32(columns) - np.float32(1.001), np.float32(colours.shape[0]) - np.float32(1.001)
    for k in range(out.shape[1]):
        px = min(max(x + np.float32(k) * dx, np.float32(0)), right)
        py = min(max(y + np.float32(k) * dy, np.float32(0)), bottom)
        column, row = np.int32(px), np.int32(py)
        parts[0, k], parts[1, k] = px - np.float32(column), py - np.float32(row)
        corners[0, k] = row * np.int32(columns) + column
    for k in range(out.shape[1]):
        place = corners[0, k]
        corners[0, k], corners[1, k] = flat[place], flat[place + np.uint32(1)]
        place += np.uint32(columns)
        corners[2, k], corners[3, k] = flat[place], flat[place + np.uint32(1)]
    for p in range(3):
        shift = np.uint32(8 * p)
        for k in range(out.shape[1]):
            upper, upper_next = plane(corners[0, k], shift), plane(corners[1, k], shift)
            lower, lower_next = plane(corners[2, k], shift), plane(corners[3, k], shift)
            upper += parts[0, k] * (upper_next - upper)
            lower += parts[0, k] * (lower_next - lower)
            out[p, k] = upper + parts[1, k] * (lower - upper)


@compiled
def ray(a: Real, b: Real, c: Real, s: Real, cos: Real, sin: Real) -> tuple[Real, Real, Real, Real]:
    """From an ellipse's centre to its outline in one direction, and the unit normal there."""
    ux, uy = c * a * cos - s * b * sin, s * a * cos + c * b * sin
    vx, vy = c * b * cos - s * a * sin, s * b * cos + c * a * sin
    length = np.sqrt(vx * vx + vy * vy) + np.float32(1e-9)
    return ux, uy, vx / length, vy / length


@compiled
def inside(x: Real, y: Real, width: Real, height: Real) -> bool | np.bool_:
    return x >= 1 and y >= 1 and x < width - 2 and y < height - 2


@compiled
def settle(candidate: Floats, low: Real, step: Real, give: Real, room: Room, out: Floats) -> None:
    """The ellipse through the best path of the room's strengths, and its measures, to `out` (8,).

    The room's weight is 1 where the outline is inside the frame; overwritten, as all in the room.
    """
    strength, path, weight = room.strength, room.path, room.weight
    angles, rings = strength.shape
    clearness(strength)
    follow(low, step, room)
    clear, visible = np.float32(0), np.float32(0)
    for i in range(angles):
        value = strength[i, min(rings - 1, max(0, int((path[i] - low) / step + np.float32(0.5))))]
        clear += weight[i] * value
        visible += weight[i]
        weight[i] *= value * value
    spread = fit(np.float32(1.5) * step, give, room)
    compose(candidate, room.harmonics, out)
    out[CLEAR], out[RESIDUAL], out[VISIBLE] = clear / max(visible, np.float32(1)), spread, visible / angles
