"""Scenes are varied with their truth, and what the network should say of them is where it should say it."""

from __future__ import annotations

import numpy as np
import pytest

from detector.scenes import render
from detector.training.examples import THIN
from detector.training.views import BATCH, Batches, Seen, of_number, varied, wanted
from detector.v2 import network
from detector.v2.network import BINS, CELL, LIKELY, RADII, STEP

NONE = np.empty((0, 3))


def test_a_number_is_a_scene_that_lies() -> None:
    for number in (0, 2, THIN // 2):
        one, again = of_number(number), of_number(number)
        assert np.array_equal(one.image, again.image) and np.array_equal(one.discs, again.discs)
        height, width = one.image.shape[:2]
        assert height <= width == 320
        assert (abs(one.discs[:, :2] - (width / 2, height / 2)) < 0.75 * width).all()


def seen() -> Seen:
    scene = render(3, 320, 240)
    return Seen(scene.image, np.column_stack([scene.circles[f] for f in ("x", "y", "radius")]), NONE)


def test_discs_stay_on_what_they_are_of() -> None:
    """In each view the network itself finds most of them: were one mirrored otherwise than its disc, none."""
    random = np.random.default_rng(5)
    hits = total = 0
    for _ in range(20):
        view = varied(random, seen())
        guesses = network.glance(view.image).guesses
        for x, y, radius in view.discs:
            apart = np.hypot(guesses[:, 0] + 0.5 - x, guesses[:, 1] + 0.5 - y) / radius
            hits += bool(((apart < 0.2) & (abs(guesses[:, 2] / radius - 1) < 0.25)).any())
        total += len(view.discs)
        assert len(view.discs) + len(view.doubtful) == len(seen().discs)
    assert total > 20
    assert hits > 0.8 * total


def test_what_is_wanted_of_a_disc() -> None:
    x, y, radius = 150.0, 101.0, float(RADII[6] * np.exp(0.2 * STEP))
    one = Seen(np.zeros((240, 320, 3), np.uint8), np.array([[x, y, radius]]), NONE)
    likely, offsets, told, unsaid = wanted(one)
    assert likely.shape == (BINS, 32, 40)
    row, column = int(y / CELL), int(x / CELL)
    assert np.argwhere(likely == 1).tolist() == [[6, row, column]]
    assert 0 < likely[6, row, column + 2] < likely[6, row, column + 1] < 1
    assert likely[9].max() == 0
    across, down, larger = offsets[:, 6, row, column]
    assert CELL * (column + 0.5) + across * RADII[6] == pytest.approx(x, rel=1e-5)
    assert CELL * (row + 0.5) + down * RADII[6] == pytest.approx(y, rel=1e-5)
    assert larger == pytest.approx(0.2, abs=1e-5)
    assert told[6, row, column] > 0.3 and told[6, row, column + 8] == 0
    assert not unsaid.any()


def test_what_is_wanted_is_what_a_guess_is_made_of() -> None:
    inside = [[60.0, 70.0, 20.0], [200.0, 120.0, 90.0], [200.0, 120.0, 40.0], [300.0, 20.0, 6.0]]
    discs = np.array([*inside, [-9.0, 180.0, 31.0], [324.0, 231.0, 16.0]])  # two of them about the edge
    view = wanted(Seen(np.zeros((240, 320, 3), np.uint8), discs, NONE))
    said = np.concatenate([view.likely[None], view.offsets])
    assert said[LIKELY].max() == 1
    guesses = network.peaks(said)
    found = guesses[guesses[:, 3] == 1][:, :3] + (0.5, 0.5, 0)
    np.testing.assert_allclose(sorted(found.tolist()), sorted(discs.tolist()), rtol=1e-4)


def test_of_a_doubtful_disc_nothing_is_wanted() -> None:
    view = wanted(Seen(np.zeros((240, 320, 3), np.uint8), NONE, np.array([[100.0, 100.0, 30.0]])))
    assert not view.likely.any() and not view.told.any()
    assert view.unsaid.any() and view.unsaid.mean() < 0.05


def test_a_batch_is_of_its_number_alone() -> None:
    """Of one shape, filled up with the grey that is 0, whoever makes it and in whatever order."""
    scenes = [of_number(number) for number in (0, 1, 3)]  # two of 320 x 240, one of 320 x 180
    batches, again = Batches(scenes, 3), Batches(scenes, 3)
    later = again[2]
    for one, other in zip(batches[2], later, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(batches[0][0][0], later[0][0])
    pictures, likely, offsets, told, unsaid = later
    assert pictures.shape[:2] == (BATCH, 3) and pictures.shape[3] == 320
    cells = (BATCH, BINS, pictures.shape[2] // CELL, 320 // CELL)
    assert likely.shape == told.shape == unsaid.shape == cells
    assert offsets.shape == (BATCH, 3, *cells[1:])
    assert abs(pictures).max() <= 2
    assert (pictures[:, :, 240 if pictures.shape[2] == 256 else 180 :] == 0).all()
    assert len(batches) == 3
    with pytest.raises(IndexError):  # which ends a loop over it
        batches[3]
