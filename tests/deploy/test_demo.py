"""The demo's ground truth is where the circles are, also in the photograph that is turned."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from deploy.demo import COINS, Sample, samples, turned_by


def test_a_quarter_turn_to_the_left() -> None:
    (turned,) = turned_by(90, np.array([[0.0, 2.0, 5.0]]), (10, 4), (4, 10))
    assert turned == pytest.approx([2, 9, 5])


@pytest.mark.parametrize("sample", [s for s in samples(1) if s.truth is not None], ids=lambda s: s.name)
def test_it_is_brighter_or_darker_inside_than_around(sample: Sample) -> None:
    assert sample.truth is not None
    assert sample.source != "photographs" or len(sample.truth) == len(COINS) == sample.circles
    image = np.asarray(Image.open(BytesIO(sample.png)).convert("L"), float)
    rows, columns = np.indices(image.shape)
    apart = []
    for x, y, radius in sample.truth:
        away = np.hypot(columns - x, rows - y) / radius
        apart.append(abs(image[away < 0.95].mean() - image[(away > 1.05) & (away < 1.15)].mean()))
    assert np.median(apart) > 10
