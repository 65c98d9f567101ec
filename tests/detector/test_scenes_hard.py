"""Scenes for training are the same each time, and their truth is what shows in them."""

from __future__ import annotations

import numpy as np
import pytest

from detector.circles import is_valid
from detector.scenes import HardScene, render_hard, render_thin
from detector.scenes.clutter import OVER, UNDER
from detector.scenes.discs import KINDS, MARGIN, polar, smeared
from detector.scenes.hard import Disc, shown
from detector.scenes.tables import KINDS as TABLES
from detector.scenes.thin import light_through

WIDTH, HEIGHT = 240, 180


@pytest.fixture(scope="module")
def scenes() -> list[HardScene]:
    return [render_hard(seed, WIDTH, HEIGHT) for seed in range(40)]


def test_a_seed_is_a_scene() -> None:
    one, again, other = (render_hard(seed, 160, 120) for seed in (7, 7, 8))
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.circles, again.circles)
    assert np.array_equal(one.doubtful, again.doubtful)
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (300, 64), (97, 131)])
def test_pictures_of_any_size(width: int, height: int) -> None:
    for seed in range(4):
        image = render_hard(seed, width, height).image
        assert image.shape == (height, width, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous


def test_refuses_a_scene_too_small_for_discs() -> None:
    with pytest.raises(ValueError, match="at least 64 x 64"):
        render_hard(0, 480, 63)


def test_truth_is_within_limits(scenes: list[HardScene]) -> None:
    for _, circles, doubtful in scenes:
        for truth in (circles, doubtful):
            assert is_valid(truth).all()
            assert len(truth) <= 45
            assert (truth["radius"] >= 0.5 * 5).all()
            assert (truth["major"] <= 0.6 * HEIGHT + 1e-3).all()
            assert (truth["minor"] >= 0.5 * truth["major"]).all()
            assert (truth["x_max"] <= WIDTH).all() and (truth["y_max"] <= HEIGHT).all()
            assert (np.abs(truth["x"] - WIDTH / 2) < WIDTH / 2 + 0.3 * truth["major"] + 1e-3).all()


def test_scenes_differ_as_they_should(scenes: list[HardScene]) -> None:
    counts = [len(scene.circles) for scene in scenes]
    assert min(counts) == 0
    assert max(counts) > 8
    assert any(len(scene.doubtful) for scene in scenes)
    assert sum(map(len, (scene.doubtful for scene in scenes))) < 0.3 * sum(counts)
    circles = np.concatenate([scene.circles for scene in scenes])
    assert 0.05 < (circles["minor"] < 0.95 * circles["major"]).mean() < 0.95


def test_what_covers_a_disc_hides_it() -> None:
    """Two discs, the second half on the first, and something on the second's lower half."""
    cover = np.zeros((2, 40, 80), np.float32)
    cover[0, :, :40], cover[1, :, 20:60] = 1, 1
    hidden = np.zeros((40, 80), np.float32)
    hidden[20:] = 1
    discs = [Disc(0, 0, 40 / np.pi, 40, 0)] * 2
    assert shown(discs, list(cover), np.zeros((40, 80), np.float32)).tolist() == pytest.approx([0.5, 1])
    assert shown(discs, list(cover), hidden).tolist() == pytest.approx([0.25, 0.5])


def test_every_disc_is_round_and_fills_its_patch() -> None:
    rho, _, radius = polar(80)
    assert radius == pytest.approx(80 * (0.5 - MARGIN))
    random = np.random.default_rng(0)
    for draw in {*KINDS, smeared(random)}:
        for size in (20, 80):
            drawing = draw(random, size)
            assert drawing.shape == (size, size, 4)
            assert drawing.dtype == np.float32
            assert np.isfinite(drawing).all()
            cover = drawing[..., 3]
            assert cover.min() >= 0 and cover.max() <= 1
        assert cover[rho > 1.25].max() < 0.05
        assert cover[(rho > 0.9) & (rho < 0.95)].mean() > 0.05


def test_tables_and_clutter_are_pictures() -> None:
    random = np.random.default_rng(1)
    for table in dict.fromkeys(TABLES):
        canvas = np.ascontiguousarray(table(random, 90, 70))
        assert canvas.shape == (70, 90, 3), table
        assert canvas.dtype == np.float32, table
        assert np.isfinite(canvas).all(), table
        for draw in dict.fromkeys((*UNDER, *OVER)):
            mask = np.zeros((70, 90), np.float32)
            draw(random, canvas, mask)
            assert np.isfinite(canvas).all(), draw
            assert mask.min() >= 0 and mask.max() <= 1, draw


def test_thin_things_hide_nothing_and_darken_what_is_below() -> None:
    one, again = render_thin(7, 160, 120), render_thin(7, 160, 120)
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.circles, again.circles)
    counts = [len(render_thin(seed, WIDTH, HEIGHT).circles) for seed in range(8)]
    assert min(counts) >= 5
    thing = np.zeros((2, 2, 4), np.float32)
    thing[0] = (51, 102, 255, 1)
    assert light_through(thing)[0] == pytest.approx(np.array([[0.2, 0.4, 1]] * 2))
    assert (light_through(thing)[1] == 1).all()
    with pytest.raises(ValueError, match="at least 64 x 64"):
        render_thin(0, 480, 63)
