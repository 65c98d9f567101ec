"""The network guesses discs where they are, the same in every thread; evidence is what it says at a place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from detector.v2 import network
from detector.v2.compiled import Floats
from detector.v2.network import BINS, CELL, LIKELY, MOST, NOTHING, RADII, SHAPES, STEP, SURE, UNASKED, Glance
from tests.detector.v2.drawing import Image, disc, drawn

DISCS = [(70.0, 80.0, 12.0), (150.0, 90.0, 30.0), (245.0, 150.0, 60.0)]


def picture() -> Image:
    return drawn([disc(*spot) for spot in DISCS], 320, 240)


def test_each_disc_is_guessed() -> None:
    guesses = network.glance(picture()).guesses
    for x, y, radius in DISCS:
        apart = np.hypot(guesses[:, 0] + 0.5 - x, guesses[:, 1] + 0.5 - y) / radius
        best = guesses[(apart < 0.15) & (abs(guesses[:, 2] / radius - 1) < 0.15)]
        assert best[:, 3].max(initial=0) > 0.3
    assert (np.diff(guesses[:, 3]) <= 0).all()
    assert len(guesses) <= MOST


@pytest.mark.parametrize("shape", [(16, 16, 3), (17, 31), (240, 320), (16, 320, 3), (320, 33, 3)])
def test_pictures_of_any_shape(shape: tuple[int, ...]) -> None:
    said, guesses, *_ = network.glance(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    rows, columns = (-(-side // 32) * 4 for side in shape[:2])
    assert said.shape == (4, BINS, rows, columns)
    assert np.isfinite(said).all() and np.isfinite(guesses).all()
    assert ((said[LIKELY] >= 0) & (said[LIKELY] <= 1)).all()


def test_the_same_in_threads_and_after_other_shapes() -> None:
    shown = picture()
    expected = network.glance(shown).said.tobytes()
    for n in range(SHAPES + 1):
        network.glance(shown[: 240 - 32 * n])
    assert network.glance(shown).said.tobytes() == expected
    with ThreadPoolExecutor(4) as pool:
        assert {glance.said.tobytes() for glance in pool.map(network.glance, [shown] * 12)} == {expected}


def test_what_was_said_stays_when_more_is_asked() -> None:
    first = network.glance(picture())
    kept = first.said.copy()
    network.glance(np.zeros((240, 320, 3), np.uint8))
    np.testing.assert_array_equal(first.said, kept)


def one_guess() -> Glance:
    """Likely .8 in bin 5, row 6, column 9, and .4 beside it; a little off the middle."""
    said: Floats = np.zeros((4, BINS, 12, 16), np.float32)
    said[LIKELY, 5, 6, 9], said[LIKELY, 5, 6, 10] = 0.8, 0.4
    said[1:, 5, 6, 9] = 0.1, -0.2, 0.3
    return Glance(said, network.peaks(said), 120, 90)


def test_a_guess_is_the_likeliest_place_moved_as_it_says() -> None:
    (guess,) = one_guess().guesses
    x, y = CELL * 9.5 - 0.5 + 0.1 * RADII[5], CELL * 6.5 - 0.5 - 0.2 * RADII[5]
    assert guess == pytest.approx([x, y, RADII[5] * np.exp(0.3 * STEP), 0.8], rel=1e-5)


def test_evidence_is_what_is_said_between_places_and_of_the_nearest_guess() -> None:
    said, guesses, width, height = one_guess()
    x, y, radius, _ = guesses[0]
    middle = CELL * 9.5 - 0.5, CELL * 6.5 - 0.5
    places = [
        (*middle, RADII[5]),
        (middle[0] + CELL / 2, middle[1], RADII[5]),
        (*middle, RADII[5] * np.exp(STEP / 2)),
        (x, y, radius),
        (x - 2 * radius, y, radius),
        (-1e6, 1e6, 1e-6),
    ]
    candidates = np.array([(*place, place[2], 0.0) for place in places], np.float32)
    out: Floats = np.zeros((len(candidates), 4), np.float32)
    network.evidence(said, guesses, width, height, candidates, out)
    assert out[:3, 0] == pytest.approx([0.8, 0.6, 0.4], rel=1e-4)
    assert out[3] == pytest.approx([out[3, 0], 0.8, 0, 0], abs=1e-6)
    assert out[0, 2] == pytest.approx(np.log(radius / RADII[5]), abs=1e-5)
    assert out[0, 3] == pytest.approx(np.hypot(0.1, 0.2), abs=1e-5)
    assert out[4, 1:].tolist() == [0, NOTHING, NOTHING]
    assert (out[4, 0], out[5, 0]) == (0, UNASKED)


@pytest.mark.parametrize(
    ("x", "y", "radius"),
    [(-1, 40, 20), (60, -1, 20), (121, 40, 20), (60, 91, 20), (60, 40, 5.9), (60, 40, 116)],
)
def test_what_it_cannot_know_is_not_asked(x: float, y: float, radius: float) -> None:
    out: Floats = np.zeros((2, 4), np.float32)
    candidates = np.array([[x, y, radius, radius, 0], [60, 40, SURE[0], SURE[0], 0]], np.float32)
    network.evidence(*one_guess(), candidates, out)
    assert out[0].tolist() == [UNASKED, UNASKED, NOTHING, NOTHING]
    assert out[1, 0] >= 0
