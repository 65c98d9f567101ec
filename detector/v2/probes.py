"""The picture around a candidate: gradients and colours on rings that have its shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, Real, compiled

ANGLES = 32
"""Directions from the centre in which the picture is looked at."""

RINGS = np.array(
    [0.3, 0.5, 0.58, 0.66, 0.74, 0.8, 0.85, 0.89, 0.925, 0.95, 0.97, 0.985, 1.0, 1.015, 1.03, 1.05, 1.075,
     1.11, 1.15, 1.2, 1.26, 1.34, 1.42, 1.5],
    np.float32,
)  # fmt: skip
"""Where the picture is looked at, in parts of the candidate's outline."""
ON_RIM = (9, 16)
"""First ring of the rim and the first beyond it."""
CORE, WITHIN, BEYOND, FAR = (0, 1, 2), (5, 6, 7), (17, 18, 19), (21, 23)
"""Rings whose colours are compared: the middle, both sides of the rim, the surroundings."""
COLOURED = np.isin(np.arange(len(RINGS)), [*CORE, *WITHIN, *BEYOND, *FAR])


@compiled
def probe(
    ycc: NDArray[np.uint8], gradient: Floats, ratio: Floats, candidate: Floats,
    across: Floats, colour: Floats, rim: Floats, clear: Floats, radial: Floats, signed: Floats,
    seen: NDArray[np.bool_],
) -> None:  # fmt: skip
    """What the picture shows around one candidate (5,), to the last seven arguments.

    across: (ANGLES, RINGS) gradient across the outline; colour: (ANGLES, RINGS, 3) at COLOURED; and where
    the gradient is strongest on the rim, (ANGLES,) each: rim: that gradient; clear: against its
    neighbourhood's; radial: which part of it points across; signed: as rim, less than 0 if it grows inwards;
    seen: whether the outline lies inside the frame.
    """
    height, width = gradient.shape[:2]
    x, y, a, b, turn = candidate
    ct, st = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    for i in range(ANGLES):
        c, s = np.float32(np.cos(i * 2 * np.pi / ANGLES)), np.float32(np.sin(i * 2 * np.pi / ANGLES))
        ux, uy = ct * a * c - st * b * s, st * a * c + ct * b * s
        vx, vy = ct * b * c - st * a * s, st * b * c + ct * a * s
        length = np.sqrt(vx * vx + vy * vy) + np.float32(1e-9)
        vx, vy = vx / length, vy / length
        seen[i] = x + ux >= 1 and y + uy >= 1 and x + ux < width - 2 and y + uy < height - 2
        best = np.float32(-1)
        for k in range(len(RINGS)):
            px, py = x + RINGS[k] * ux, y + RINGS[k] * uy
            px = min(max(px, np.float32(0)), np.float32(width - 1.001))
            py = min(max(py, np.float32(0)), np.float32(height - 1.001))
            row, column = int(py + np.float32(0.5)), int(px + np.float32(0.5))
            if COLOURED[k]:
                for p in range(3):
                    colour[i, k, p] = ycc[row, column, p]
            if k < ON_RIM[0] or k >= ON_RIM[1]:
                across[i, k] = abs(gradient[row, column, 0] * vx + gradient[row, column, 1] * vy)
                continue
            sx, sy = between(gradient, px, py)
            along = sx * vx + sy * vy
            across[i, k] = abs(along)
            if abs(along) > best:
                best = abs(along)
                rim[i] = best
                radial[i] = best / (np.sqrt(sx * sx + sy * sy) + np.float32(1))
                signed[i] = along
                clear[i] = ratio[row, column] * radial[i]


@compiled
def between(gradient: Floats, x: Real, y: Real) -> tuple[Real, Real]:
    """The gradient (H, W, 2) between four pixels; x and y within the last of them."""
    row, column = int(y), int(x)
    fx, fy = x - column, y - row
    w00, w01, w10, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    here, right = gradient[row, column], gradient[row, column + 1]
    below, across = gradient[row + 1, column], gradient[row + 1, column + 1]
    gx = w00 * here[0] + w01 * right[0] + w10 * below[0] + w11 * across[0]
    gy = w00 * here[1] + w01 * right[1] + w10 * below[1] + w11 * across[1]
    return gx, gy
