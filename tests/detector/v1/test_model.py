"""circles:1 on a photograph, on what is done to photographs, and on noise."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from detector import CIRCLE
from detector.circles import FloatArray, is_valid
from detector.evaluation.overlap import boxes
from detector.scenes import render
from detector.v1.model import detect
from tests.detector.evaluation import matched

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def coins() -> Image:
    return np.asarray(skimage.data.coins(), dtype=np.uint8)


@pytest.fixture(scope="module")
def coin_boxes() -> FloatArray:
    known = json.loads((Path(__file__).parent.parent / "coins.json").read_text())
    return np.array(known["boxes"], dtype=float)


def turned(image: Image, true: FloatArray, degrees: float) -> tuple[Image, FloatArray]:
    """The image about its middle, with black corners, and the boxes of its circles there."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    size = np.abs(matrix[:, :2]) @ (width, height)
    matrix[:, 2] += size / 2 - (width / 2, height / 2)
    centre = (true[:, :2] + true[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    radius = (true[:, 2:] - true[:, :2]).mean(axis=1, keepdims=True) / 2
    picture = cv2.warpAffine(image, matrix, size.astype(int).tolist(), flags=cv2.INTER_CUBIC)
    return picture.astype(np.uint8), np.hstack([centre - radius, centre + radius])


def test_finds_coins_on_a_photograph(coins: Image, coin_boxes: FloatArray) -> None:
    found = detect(coins)
    hits = matched(boxes(found), coin_boxes)
    assert hits >= 22
    assert len(found) - hits <= 1


def test_colour_and_grey_are_the_same_picture(coins: Image, coin_boxes: FloatArray) -> None:
    found = detect(np.repeat(coins[..., None], 3, axis=2))
    assert matched(boxes(found), boxes(detect(coins)), threshold=0.95) == len(detect(coins))
    assert matched(boxes(found), coin_boxes) >= 22


@pytest.mark.parametrize("degrees", [20, 33, 45, 60])
def test_finds_coins_in_a_turned_photograph(coins: Image, coin_boxes: FloatArray, degrees: float) -> None:
    picture, true = turned(coins, coin_boxes, degrees)
    found = detect(picture)
    hits = matched(boxes(found), true)
    assert hits >= 20
    assert len(found) - hits <= 3


@pytest.mark.parametrize(("left", "top"), [(0, 0), (150, 0), (0, 120), (150, 120)])
def test_finds_coins_in_a_crop(coins: Image, coin_boxes: FloatArray, left: int, top: int) -> None:
    picture = coins[top : top + 180, left : left + 230]
    true = coin_boxes - (left, top, left, top)
    whole = ((true[:, :2] >= 0) & (true[:, 2:] <= (230, 180))).all(axis=1)
    assert whole.sum() >= 5
    assert matched(boxes(detect(picture)), true[whole]) >= whole.sum() - 1


def test_coordinates_are_those_of_the_full_image(coins: Image, coin_boxes: FloatArray) -> None:
    large = cv2.resize(coins, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    assert matched(boxes(detect(large)), coin_boxes * 5) >= 22


def test_boxes_end_at_the_frame() -> None:
    picture = np.full((200, 300), 60, dtype=np.uint8)
    cv2.circle(picture, (285, 100), 50, 200, -1, cv2.LINE_AA)
    (found,) = detect(picture)
    assert found["x_max"] == 300
    assert found["radius"] == pytest.approx(50, abs=2)
    assert found["x"] == pytest.approx(285.5, abs=2)


def test_an_inner_ring_is_not_a_second_circle() -> None:
    picture = np.full((240, 320), 90, dtype=np.uint8)
    cv2.circle(picture, (160, 120), 80, 130, -1, cv2.LINE_AA)
    cv2.circle(picture, (160, 120), 55, 250, -1, cv2.LINE_AA)
    (found,) = detect(picture)
    assert found["radius"] == pytest.approx(80, abs=2)


def test_a_plate_does_not_hide_its_coins() -> None:
    picture = np.full((480, 480), 90, dtype=np.uint8)
    cv2.circle(picture, (240, 240), 220, 110, -1, cv2.LINE_AA)
    for centre in ((150, 170), (330, 170), (170, 330), (320, 320)):
        cv2.circle(picture, centre, 45, 220, -1, cv2.LINE_AA)
    radii = detect(picture)["radius"]
    assert (np.abs(radii - 45) < 2).sum() == 4


def test_scores_fall_from_first_to_last(coins: Image) -> None:
    score = detect(coins)["score"]
    assert (np.diff(score) <= 0).all()
    assert score[0] <= 1


def test_rendered_scenes() -> None:
    hits = found_in_all = true_in_all = 0
    for seed in range(1000, 1012):
        scene = render(seed)
        found = detect(scene.image)
        hits += matched(boxes(found), boxes(scene.circles), threshold=0.7)
        found_in_all += len(found)
        true_in_all += len(scene.circles)
    assert 2 * hits / (found_in_all + true_in_all) > 0.95


@settings(max_examples=60)
@given(
    arrays(
        np.uint8,
        st.one_of(
            st.tuples(st.integers(0, 80), st.integers(0, 80)),
            st.tuples(st.integers(0, 60), st.integers(0, 60), st.just(3)),
        ),
    )
)
def test_no_image_yields_an_invalid_circle(image: Image) -> None:
    found = detect(image)
    assert found.dtype == CIRCLE
    assert is_valid(found).all()


@pytest.mark.parametrize("seed", range(6))
def test_survives_dense_texture(seed: int) -> None:
    """Noise and checks on which EdgeDrawing has most edges to hold."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (480, 640), dtype=np.uint8)
    checks = ((np.indices((480, 640)) // (seed + 1)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for picture in (noise, checks, cv2.GaussianBlur(noise, (0, 0), 1 + seed / 3).astype(np.uint8)):
        assert is_valid(detect(picture)).all()


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 5000), (15, 15, 3), (0, 40, 3)])
def test_too_small_for_a_circle(shape: tuple[int, ...]) -> None:
    assert len(detect(np.zeros(shape, dtype=np.uint8))) == 0


@pytest.mark.parametrize(
    "image",
    [np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20), np.float32), np.zeros(20, np.uint8)],
    ids=["four channels", "floats", "one axis"],
)
def test_refuses_what_is_no_image(image: Image) -> None:
    with pytest.raises(ValueError, match="an image is uint8"):
        detect(image)
