"""Rims are found again from a start that is off."""

from __future__ import annotations

import numpy as np
import pytest

from detector.v2 import edges, rims
from detector.v2.compiled import Floats
from detector.v2.fine import SEARCH
from detector.v2.propose import COARSE, FINE
from tests.detector.v2.drawing import Ellipse, drawn

WIDTH, HEIGHT = 320, 240
TRUE: list[Ellipse] = [
    (160.5, 120.5, 50, 50, 0.0), (150.5, 110.5, 60, 48, 0.7), (130.5, 125.5, 24, 20, -1.2),
    (300.5, 120.5, 60, 60, 0.0),
]  # fmt: skip


def rows(ellipse: Ellipse) -> Floats:
    """As a candidate, pixel centres at whole numbers."""
    x, y, *shape = ellipse
    return np.array([[x - 0.5, y - 0.5, *shape]], np.float32)


def off(row: Floats, ellipse: Ellipse) -> float:
    """The most that centre and half axes are off, in pixels."""
    return float(np.abs(row[:4] - rows(ellipse)[0, :4]).max())


@pytest.mark.parametrize("ellipse", TRUE, ids=str)
def test_trace_finds_the_rim_from_a_start_beside_it(ellipse: Ellipse) -> None:
    x, y, a, b, _ = ellipse
    radius = np.sqrt(a * b)
    small = edges.picture(drawn([ellipse], WIDTH, HEIGHT))
    start = rows((x + 0.08 * radius, y - 0.06 * radius, 1.05 * radius, 1.05 * radius, 0.0))
    first = rims.trace(small.gradient, start, *COARSE)
    (last,) = rims.trace(small.gradient, np.ascontiguousarray(first[:, : rims.CLEAR]), *FINE)
    assert off(last, ellipse) < max(1.5, 0.035 * a)
    assert last[rims.CLEAR] > 0.5
    assert last[rims.RESIDUAL] < 0.03
    assert (last[rims.VISIBLE] == 1) == (x < 250)


@pytest.mark.parametrize("ellipse", TRUE[:3], ids=str)
def test_refine_comes_closer(ellipse: Ellipse) -> None:
    x, y, a, b, angle = ellipse
    start: Ellipse = (x + 0.025 * a, y - 0.02 * a, 1.02 * a, 1.02 * b, angle)
    colours = edges.packed(edges.smooth(drawn([ellipse], WIDTH, HEIGHT)))
    (refined,) = rims.refine(colours, rows(start), *SEARCH)
    assert off(refined, ellipse) < max(0.3, 0.012 * a)
    assert off(refined, ellipse) < off(rows(start)[0], ellipse)


def test_a_blank_picture_has_no_clear_rim() -> None:
    blank = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    (traced,) = rims.trace(edges.picture(blank).gradient, rows(TRUE[0]), *FINE)
    assert traced[rims.CLEAR] == 0


def test_a_candidate_outside_the_frame_is_not_visible() -> None:
    small = edges.picture(drawn([TRUE[0]], WIDTH, HEIGHT))
    (traced,) = rims.trace(small.gradient, rows((-500, -500, 20, 20, 0)), *FINE)
    assert traced[rims.VISIBLE] == 0
    assert np.isfinite(traced).all()
