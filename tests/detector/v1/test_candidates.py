"""Each source of candidates finds a plain disc where it is, and the guard of EdgeDrawing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detector.v1.candidates import MAX_EDGE_FRACTION, candidates, edge_threshold, ellipses, hough

Image = NDArray[np.uint8]


def disc(x: int, y: int, axes: tuple[int, int], degrees: float = 0) -> Image:
    picture = np.full((480, 640), 70, dtype=np.uint8)
    cv2.ellipse(picture, (x, y), axes, degrees, 0, 360, 190, -1, cv2.LINE_AA)
    return picture


def test_hough_on_the_smaller_copy_gives_places_in_the_picture() -> None:
    (found,) = hough(disc(400, 210, (60, 60)))
    assert found == pytest.approx([400, 210, 60, 60, 0], abs=1.5)


def test_edge_drawing_finds_the_rim() -> None:
    found = ellipses(disc(400, 210, (60, 60)))
    assert found[0, :4] == pytest.approx([400, 210, 60, 60], abs=1)


@pytest.mark.parametrize(("axes", "plausible"), [((90, 75), True), ((90, 40), False)])
def test_a_tilted_disc_is_proposed_and_a_flat_one_is_not(axes: tuple[int, int], plausible: bool) -> None:
    found = candidates(disc(300, 240, axes, 30)[..., None])
    fits = np.abs(np.sort(found[:, 2:4])[:, ::-1] - axes).max(axis=1, initial=0) < 3
    assert fits.any() == plausible


def test_a_blank_picture_has_none() -> None:
    assert candidates(np.full((100, 120, 2), 9, dtype=np.uint8)).shape == (0, 5)


def test_the_threshold_rises_with_texture_alone() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640), dtype=np.uint8)
    assert edge_threshold(disc(300, 240, (60, 60))) == 20
    threshold = edge_threshold(noise)
    smooth = cv2.GaussianBlur(noise, (5, 5), 1.0).astype(float)
    kernel = np.outer([1, 1, 1], [-1, 0, 1]).astype(float)
    gradient = np.abs(cv2.filter2D(smooth, -1, kernel)) + np.abs(cv2.filter2D(smooth, -1, kernel.T))
    assert (gradient > threshold).mean() == pytest.approx(MAX_EDGE_FRACTION, abs=0.02)
