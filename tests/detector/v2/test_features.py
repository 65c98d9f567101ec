"""Features are of the thing, not of its place, direction or size."""

from __future__ import annotations

import numpy as np
import pytest

from detector.v2 import edges, features
from detector.v2.compiled import Floats
from tests.detector.v2.drawing import Ellipse, drawn

ELLIPSE: Ellipse = (160.5, 120.5, 50, 42, 0.5)


def described(ellipse: Ellipse, drawn_at: Ellipse | None = None) -> dict[str, float]:
    """Features by name of a candidate, in a picture of a disc there or elsewhere."""
    small = edges.picture(drawn([drawn_at or ellipse], 320, 240, grain=1))
    x, y, *shape = ellipse
    table: Floats = np.zeros((1, len(features.NAMES)), np.float32)
    row = np.array([[x - 0.5, y - 0.5, *shape]], np.float32)
    features.describe(*small, row, np.float32(8), np.float32(1 / 320), table)
    return dict(zip(features.NAMES[: features.PATH], table[0].tolist(), strict=False))


def test_every_column_has_a_name_of_its_own() -> None:
    assert len(set(features.NAMES)) == len(features.NAMES)
    constants = {name: value for name, value in vars(features).items() if isinstance(value, int)}
    for constant in ("RADIUS", "AXIS_RATIO", "RIM_LEVEL", "ONE_SIGN", "INNER_PEAK", "HALO", "SEEDS_NEAR"):
        assert features.NAMES[constants[constant]] == constant.lower()
    for constant, first in (("RIM", "rim_q10"), ("CLEAR", "clear_q10"), ("COVER", "cover_low")):
        assert features.NAMES[constants[constant]] == first
    assert features.NAMES[features.PROFILE] == "ring_0.3"
    assert features.NAMES[features.PLANES : features.CONTRAST] == (
        "contrast_y", "steady_y", "contrast_r", "steady_r", "contrast_b", "steady_b",
    )  # fmt: skip


@pytest.mark.parametrize("moved", [(100.5, 100.5, 50, 42, 0.5), (160.5, 120.5, 50, 42, 1.3)], ids=str)
def test_elsewhere_and_turned_it_looks_the_same(moved: Ellipse) -> None:
    here, there = described(ELLIPSE), described(moved)
    for name in here:
        if name.endswith("_peak_at"):  # whichever ring noise makes the strongest
            continue
        assert there[name] == pytest.approx(here[name], abs=0.2, rel=0.15), name


def test_a_rim_has_an_edge_all_around_and_a_circle_beside_it_has_not() -> None:
    x, y, a, b, angle = ELLIPSE
    on, beside = described(ELLIPSE), described((x + 0.6 * a, y, a, b, angle), ELLIPSE)
    assert on["cover_low"] == 1 and on["longest_gap"] == 0 and on["weak_sectors"] == 0
    assert on["one_sign"] > 0.98 and on["radial_mean"] > 0.95
    assert on["contrast_y"] == pytest.approx(120, abs=5)
    assert on["lopsided"] < 0.1 < beside["lopsided"]
    assert beside["cover_low"] < 0.5 < beside["longest_gap"] + 0.5
    assert beside["weak_sectors"] >= 3


def test_one_hardly_inside_the_frame_is_not_described() -> None:
    outside = described((-200, -200, 30, 30, 0))
    assert outside["visible"] == 0
    assert set(list(outside.values())[features.RIM :]) == {0.0}
