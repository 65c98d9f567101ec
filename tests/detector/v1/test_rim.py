"""Scores rank a true rim above what is beside it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from detector.v1.rim import BLOCK, scores


def picture() -> np.ndarray:
    random = np.random.default_rng(0)
    plane = np.full((240, 320), 80.0)
    cv2.circle(plane, (160, 120), 50, 160, -1, cv2.LINE_AA)
    cv2.circle(plane, (310, 120), 50, 160, -1, cv2.LINE_AA)
    noisy = cv2.GaussianBlur(plane, (0, 0), 1) + random.normal(0, 4, plane.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)[..., None]


def test_the_true_circle_scores_most() -> None:
    true, shifted, small, nowhere = scores(
        picture(),
        np.array(
            [
                [160.0, 120, 50, 50, 0],
                [168, 120, 50, 50, 0],
                [160, 120, 40, 40, 0],
                [60, 60, 40, 40, 0],
            ]
        ),
    )
    assert true > 0.8
    assert true > shifted + 0.2 > nowhere
    assert true > small + 0.2
    assert nowhere < 0.6


def test_the_frame_may_cut_a_circle_but_not_hide_it() -> None:
    cut, hidden = scores(picture(), np.array([[310.0, 120, 50, 50, 0], [345, 120, 50, 50, 0]]))
    assert cut > 0.8
    assert hidden == 0


def test_blocks_do_not_show() -> None:
    random = np.random.default_rng(1)
    many = random.uniform([0, 0, 20, 20, 0], [320, 240, 60, 60, 3], (3 * (BLOCK - 50), 5))
    together = scores(picture(), many)
    assert together == pytest.approx(np.concatenate([scores(picture(), part) for part in np.split(many, 3)]))
    assert ((together >= 0) & (together <= 1)).all()
