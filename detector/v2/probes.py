"""The picture around a candidate: gradients and colours on rings that have its shape."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, Packed, Real, compiled, plane

ANGLES = 32
"""Directions from the centre in which the picture is looked at."""

COSINES = np.cos(np.arange(ANGLES) * 2 * np.pi / ANGLES).astype(np.float32)
SINES = np.sin(np.arange(ANGLES) * 2 * np.pi / ANGLES).astype(np.float32)

RINGS = np.array(
    [0.3, 0.5, 0.58, 0.66, 0.74, 0.8, 0.85, 0.89, 0.925, 0.95, 0.97, 0.985, 1.0, 1.015, 1.03, 1.05, 1.075,
     1.11, 1.15, 1.2, 1.26, 1.34, 1.42, 1.5],
    np.float32,
)  # fmt: skip
"""Where the picture is looked at, in parts of the candidate's outline."""
ON_RIM = (9, 16)
"""First ring of the rim and the first beyond it."""
ZONES = ((0, 1, 2), (5, 6, 7), (17, 18, 19), (21, 23))
"""Rings whose mean colours are compared: of the core, both sides of the rim, the surroundings."""
CORE, WITHIN, BEYOND, FAR = range(len(ZONES))
COLOURED = np.array([(zone, ring) for zone, rings in enumerate(ZONES) for ring in rings])
SHARE = np.array([1 / len(rings) for rings in ZONES], np.float32)


class Probes(NamedTuple):
    """What the picture shows in those directions, in order, in which the outline lies inside the frame.

    direction: (ANGLES,) which of ANGLES; across: (ANGLES, RINGS) gradient across the outline; colour:
    (ANGLES, 4, 3) mean of each zone; and where the gradient is strongest on the rim, (ANGLES,) each: rim:
    that gradient; clear: against its neighbourhood's; radial: which part of it points across; signed: as
    rim, less than 0 if it grows inwards. at, places: room for one direction's rings.
    """

    direction: NDArray[np.int64]
    across: Floats
    colour: Floats
    rim: Floats
    clear: Floats
    radial: Floats
    signed: Floats
    at: Floats
    places: NDArray[np.int32]


@compiled
def room() -> Probes:
    one = np.empty((4, ANGLES), np.float32)
    return Probes(
        np.empty(ANGLES, np.int64),
        np.empty((ANGLES, len(RINGS)), np.float32),
        np.empty((ANGLES, len(ZONES), 3), np.float32),
        one[0], one[1], one[2], one[3],
        np.empty((2, len(RINGS)), np.float32), np.empty(len(RINGS), np.int32),
    )  # fmt: skip


@compiled
def probe(colours: Packed, gradient: Floats, ratio: Floats, candidate: Floats, out: Probes) -> int:
    """Look around one candidate (5,), write to out; returns in how many directions."""
    height, width = np.float32(gradient.shape[0]), np.float32(gradient.shape[1])
    x, y, a, b, turn = candidate
    ct, st = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    columns, low, half = np.int32(gradient.shape[1]), np.float32(0), np.float32(0.5)
    flat, packed, ratios = gradient.reshape(-1), colours.reshape(-1), ratio.reshape(-1)
    at, places = out.at, out.places
    n = 0
    for i in range(ANGLES):
        c, s = COSINES[i], SINES[i]
        ux, uy = ct * a * c - st * b * s, st * a * c + ct * b * s
        if not (x + ux >= 1 and y + uy >= 1 and x + ux < width - 2 and y + uy < height - 2):
            continue
        vx, vy = ct * b * c - st * a * s, st * b * c + ct * a * s
        length = np.sqrt(vx * vx + vy * vy) + np.float32(1e-9)
        vx, vy = vx / length, vy / length
        out.direction[n] = i
        for k in range(len(RINGS)):  # apart from the reading, so that it runs in vectors
            px = min(max(x + RINGS[k] * ux, low), width - np.float32(1.001))
            py = min(max(y + RINGS[k] * uy, low), height - np.float32(1.001))
            at[0, k], at[1, k] = px, py
            places[k] = np.int32(py + half) * columns + np.int32(px + half)
        for k in range(len(RINGS)):
            place = np.uint32(2 * places[k])
            out.across[n, k] = abs(flat[place] * vx + flat[place + np.uint32(1)] * vy)
        for zone in range(len(ZONES)):
            for p in range(3):
                out.colour[n, zone, p] = 0
        for m in range(len(COLOURED)):
            zone, pixel = COLOURED[m, 0], packed[np.uint32(places[COLOURED[m, 1]])]
            for p in range(3):
                out.colour[n, zone, p] += SHARE[zone] * plane(pixel, np.uint32(8 * p))
        best = np.float32(-1)
        for k in range(*ON_RIM):
            sx, sy = between(gradient, at[0, k], at[1, k])
            along = sx * vx + sy * vy
            out.across[n, k] = abs(along)
            if abs(along) > best:
                best = abs(along)
                out.rim[n], out.signed[n] = best, along
                out.radial[n] = best / (np.sqrt(sx * sx + sy * sy) + np.float32(1))
                out.clear[n] = ratios[np.uint32(places[k])] * out.radial[n]
        n += 1
    return n


@compiled
def between(gradient: Floats, x: Real, y: Real) -> tuple[Real, Real]:
    """The gradient (H, W, 2) between four pixels; x and y within the last of them."""
    row, column = np.uint32(y), np.uint32(x)
    fx, fy = x - np.float32(column), y - np.float32(row)
    w00, w01, w10, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    below, right = row + np.uint32(1), column + np.uint32(1)
    gx = w00 * gradient[row, column, 0] + w01 * gradient[row, right, 0]
    gx += w10 * gradient[below, column, 0] + w11 * gradient[below, right, 0]
    gy = w00 * gradient[row, column, 1] + w01 * gradient[row, right, 1]
    gy += w10 * gradient[below, column, 1] + w11 * gradient[below, right, 1]
    return gx, gy
