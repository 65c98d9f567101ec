"""Rendered scenes are the same each time and their truth is where the picture has it."""

from __future__ import annotations

import numpy as np
import pytest

from detector.circles import is_valid
from detector.scenes import MAX_DISCS, render


def test_a_seed_is_a_scene() -> None:
    one, again, other = render(7, 160, 120), render(7, 160, 120), render(8, 160, 120)
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.circles, again.circles)
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (320, 240), (100, 300)])
def test_size_and_truth(width: int, height: int) -> None:
    for seed in range(5):
        image, circles = render(seed, width, height)
        assert image.shape == (height, width, 3)
        assert image.dtype == np.uint8
        assert 1 <= len(circles) <= MAX_DISCS
        assert is_valid(circles).all()
        assert (circles["x_max"] <= width).all()
        assert (circles["y_max"] <= height).all()


def test_the_picture_changes_at_the_true_rims() -> None:
    """Mean step across each rim, against the step across a circle of 1.5 times its radius."""
    steps, elsewhere = [], []
    angles = np.linspace(0, 2 * np.pi, 90)
    for seed in range(8):
        image, circles = render(seed)
        grey = image.astype(float).mean(axis=2)

        def ring(circle: np.void, radius: float, grey: np.ndarray = grey) -> float:
            x = (circle["x"] + radius * np.cos(angles)).clip(0, grey.shape[1] - 1).astype(int)
            y = (circle["y"] + radius * np.sin(angles)).clip(0, grey.shape[0] - 1).astype(int)
            return float(grey[y, x].mean())

        for circle in circles:
            r = float(circle["radius"])
            steps.append(abs(ring(circle, r + 3) - ring(circle, r - 3)))
            elsewhere.append(abs(ring(circle, 1.5 * r + 3) - ring(circle, 1.5 * r - 3)))
    assert np.median(steps) > 4 * np.median(elsewhere)


def test_refuses_a_scene_too_small_for_discs() -> None:
    with pytest.raises(ValueError, match="at least 64 x 64"):
        render(0, 63, 480)
