"""Candidates on the larger picture: their rims refined, and what that says of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.v2 import rims
from detector.v2.compiled import Floats, Packed

SEARCH = rims.Search(low=0.9, high=1.1, rings=25, angles=48, give=0.5)

MOST_CHANGE = 0.15
"""Of half the long axis: what changes more ran off to another rim, and stays as it was."""

NAMES = ("fine_path", "fine_residual", "fine_residual_px", "grown", "moved_on", "bent")


class Fine(NamedTuple):
    """ellipses: (n, 5) x, y, a, b, angle in pixels of the larger picture; features: (n, len(NAMES))."""

    ellipses: Floats
    features: Floats


def refined(colours: Packed, ellipses: Floats) -> Fine:
    """Refine ellipses (n, 5) on a picture (H, W) as `edges.packed` makes it, of one that is smooth."""
    traced = rims.refine(colours, ellipses, *SEARCH)
    whole = np.isfinite(traced).all(axis=1)
    traced = np.where(whole[:, None], traced, 0)
    radius = np.sqrt(ellipses[:, rims.MAJOR] * ellipses[:, rims.MINOR])
    now = np.maximum(np.sqrt(traced[:, rims.MAJOR] * traced[:, rims.MINOR]), np.float32(1e-3))
    apart = np.hypot(traced[:, rims.X] - ellipses[:, rims.X], traced[:, rims.Y] - ellipses[:, rims.Y])
    ratio = ellipses[:, rims.MINOR] / ellipses[:, rims.MAJOR]
    bent = traced[:, rims.MINOR] / np.maximum(traced[:, rims.MAJOR], np.float32(1e-3)) - ratio
    features = np.stack(
        [
            traced[:, rims.CLEAR], traced[:, rims.RESIDUAL], traced[:, rims.RESIDUAL] * radius,
            np.log(now / radius), apart / radius, bent,
        ],
        axis=1,
    ).astype(np.float32)  # fmt: skip
    change = np.abs(traced[:, rims.MAJOR] / ellipses[:, rims.MAJOR] - 1)
    good = whole & (change < MOST_CHANGE)
    return Fine(np.where(good[:, None], traced[:, : rims.CLEAR], ellipses).astype(np.float32), features)
