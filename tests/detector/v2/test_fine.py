"""Candidates refined on the larger picture: nearer the rim, or as they were."""

from __future__ import annotations

import numpy as np
import pytest

from detector.v2 import edges, fine, rims
from tests.detector.v2.drawing import Ellipse, drawn

WIDTH, HEIGHT = 640, 480
TRUE: Ellipse = (300.5, 220.5, 90, 72, 0.5)


def refined(*starts: Ellipse) -> fine.Fine:
    colours = edges.packed(edges.smooth(drawn([TRUE], WIDTH, HEIGHT)))
    return fine.refined(colours, np.array(starts, np.float32).reshape(-1, 5))


def test_one_near_the_rim_comes_onto_it() -> None:
    x, y, a, b, turn = TRUE
    found = refined((x + 2, y - 3, 1.04 * a, 1.03 * b, turn))
    assert found.ellipses[0, :4] == pytest.approx((x - 0.5, y - 0.5, a, b), abs=0.7)
    told = dict(zip(fine.NAMES, found.features[0].tolist(), strict=True))
    assert told["fine_path"] > 0.7
    assert told["grown"] == pytest.approx(np.log(1 / np.sqrt(1.04 * 1.03)), abs=0.01)
    assert told["moved_on"] == pytest.approx(np.hypot(2.5, 2.5) / np.sqrt(1.04 * 1.03 * a * b), abs=0.01)
    assert told["bent"] == pytest.approx(b / a - 1.03 * b / (1.04 * a), abs=0.01)


def test_one_that_cannot_be_refined_stays_and_says_so() -> None:
    beyond = (-500.0, -500.0, 30.0, 30.0, 0.0)
    found = refined(beyond)
    assert np.isfinite(found.ellipses).all() and np.isfinite(found.features).all()
    assert found.ellipses[0] == pytest.approx(beyond)


def test_what_runs_off_to_another_rim_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine, "MOST_CHANGE", 0.01)
    x, y, a, b, turn = TRUE
    start = (x - 0.5, y - 0.5, 1.05 * a, 1.05 * b, turn)
    found = refined(start)
    assert found.ellipses[0] == pytest.approx(start)
    assert found.features[0, fine.NAMES.index("grown")] < -0.03


def test_nothing_is_nothing() -> None:
    found = refined()
    assert found.ellipses.shape == (0, rims.CLEAR)
    assert found.features.shape == (0, len(fine.NAMES))
