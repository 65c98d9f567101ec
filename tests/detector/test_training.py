"""Examples are labelled right, in every variant; calibration finds the curve; files hold what was fitted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.evaluation.dataset import AnnotatedImage
from detector.evaluation.observe import Observation
from detector.evaluation.overlap import boxes
from detector.training import card, fit, measure
from detector.training.__main__ import NOT_TRAINED_ON, PHOTOGRAPH_WEIGHT, weighted
from detector.training.examples import (
    DOUBTFUL,
    SEARCHED_AT,
    VARIANTS,
    Example,
    boxes_of,
    label,
    of_photograph,
    of_scene,
)
from detector.v2 import features, network
from detector.v2.fine import NAMES as FINE_NAMES
from detector.v2.fine import Fine
from detector.v2.propose import Candidates
from tests.detector.evaluation import circles, observed
from tests.detector.v2.drawing import Image, disc, drawn

WIDTH, HEIGHT = 400, 300
DISCS = [(110.0, 90.0, 45.0), (280.0, 190.0, 70.0)]


@pytest.fixture
def photograph(tmp_path: Path) -> AnnotatedImage:
    image = drawn([disc(*spot) for spot in DISCS], WIDTH, HEIGHT)
    place = tmp_path / "coins.png"
    cv2.imwrite(str(place), image[..., ::-1])
    return AnnotatedImage("coins", place, circles(*DISCS))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_a_photograph_has_candidates_on_its_discs(
    photograph: AnnotatedImage, variant: int
) -> None:
    """Were boxes mirrored otherwise than pixels, none of the two discs, of two sizes, would fit."""
    example = of_photograph(photograph, variant)
    side = max(WIDTH, HEIGHT)
    good = example.iou > 0.85
    radii = np.exp(example.candidates.features[good, features.RADIUS]) * side
    for _, _, radius in DISCS:
        assert (np.abs(radii - radius) < 0.06 * radius).any()
    assert not example.doubtful.any()
    assert example.iou.shape == (len(example.candidates.ellipses),)
    assert len(SEARCHED_AT) == len(VARIANTS)


def test_an_annotation_elsewhere_makes_no_candidate_right(photograph: AnnotatedImage) -> None:
    moved = AnnotatedImage("moved", photograph.path, circles((200, 40, 30)))
    assert of_photograph(moved, 0).iou.max() < 0.5


def test_a_scene_has_right_candidates_and_wrong_ones() -> None:
    examples = [of_scene(seed) for seed in range(3)]
    iou = np.concatenate([example.iou for example in examples])
    assert iou.min() < 0.1 and iou.max() > 0.85
    again = of_scene(1)
    np.testing.assert_array_equal(again.candidates.features, examples[1].candidates.features)
    np.testing.assert_array_equal(again.iou, examples[1].iou)


def picture() -> Image:
    return drawn([disc(*spot) for spot in DISCS], WIDTH, HEIGHT)


def test_candidates_on_doubtful_discs_are_doubtful() -> None:
    truth, hardly = boxes(circles(DISCS[0])), boxes(circles(DISCS[1]))
    example = label(picture(), truth, hardly, 320)
    scale = WIDTH / 320
    nearer_second = example.candidates.ellipses[:, 0] * scale > 200
    assert example.doubtful.any()
    assert nearer_second[example.doubtful].all()
    assert example.iou[~nearer_second].max() > 0.85
    assert not label(picture(), truth, np.empty((0, 4)), 320).doubtful.any()
    assert DOUBTFUL < fit.RIGHT


def test_boxes_keep_the_order_of_ellipses() -> None:
    ellipses = np.array([[50, 40, 30, 20, 0], [10, 10, 20, 20, 0], [90, 70, 10, 5, np.pi / 2]])
    expected = [[20, 20, 80, 60], [0, 0, 30, 30], [85, 60, 95, 80]]
    np.testing.assert_allclose(boxes_of(ellipses, np.empty((90, 120, 3), np.uint8)), expected, atol=1e-4)


def test_what_is_refined_is_nearer_the_truth() -> None:
    example = label(picture(), boxes(circles(*DISCS)), np.empty((0, 4)), 200)
    good = example.iou > 0.85
    assert good.any()
    assert example.fine_iou[good].mean() > example.iou[good].mean()
    assert example.fine_iou.max() > 0.97


def example_of(iou: float) -> Example:
    none, one = np.zeros((1, 5), np.float32), np.array([iou])
    return Example(Candidates(none, none), Fine(none, none), one, one, np.array([False]))


def test_what_a_candidate_is_worth() -> None:
    iou = np.array([0, 0.39, 0.45, 0.5, 0.7, 0.9, 1, 0.2, 0.8])
    target, weight = fit.target(iou), fit.certain(iou, np.array([False] * 7 + [True] * 2))
    assert target[:3].tolist() == [0, 0, 0]
    assert 0 < target[3] < target[4] < target[5] == target[6] == 1
    assert weight.tolist() == [1, 1, 0.3, 1, 1, 1, 1, 0, 1]


def test_a_set_left_out_and_a_set_badly_annotated_teach_nothing() -> None:
    scene, coin, cell = (example_of(n / 10) for n in range(3))
    photographs = {"coins": [coin], NOT_TRAINED_ON[0]: [cell]}
    assert weighted([scene], photographs, without="") == [(scene, 1.0), (coin, PHOTOGRAPH_WEIGHT)]
    assert weighted([scene], photographs, without="coins") == [(scene, 1.0)]


def test_an_example_without_the_network_has_all_else() -> None:
    example = of_scene(1)
    bare = fit.unasked(example)
    own = len(features.NAMES)
    np.testing.assert_array_equal(bare.candidates.features[:, :own], example.candidates.features[:, :own])
    assert (bare.candidates.features[:, own:] == network.SILENT).all()
    assert (example.candidates.features[:, own] >= 0).any(), "the given one stays as it is"
    assert fit.WITHOUT_NETWORK % len(VARIANTS)


@given(slope=st.floats(0.3, 3), offset=st.floats(-1, 1))
def test_platt_recovers_slope_and_offset(slope: float, offset: float) -> None:
    """Right as often as the curve says: each of the odds once as right, once as wrong, so weighted."""
    odds = np.linspace(-4, 4, 81)
    share = 1 / (1 + np.exp(-(slope * odds + offset)))
    right = np.repeat([1.0, 0.0], len(odds))
    found = measure.platt(np.tile(odds, 2), right, np.concatenate([share, 1 - share]))
    assert found == pytest.approx((slope, offset), abs=0.01)


def test_calibration_counts_photographs_nine_times_scenes() -> None:
    """Of scores of .5, all scenes' are wrong, all photographs' right: so .9 are, however many of each."""
    hit = observed(circles((50, 50, 20), scores=[0.5]), circles((50, 50, 20)))
    miss = Observation(
        AnnotatedImage("scene", Path(), circles((50, 50, 20))), circles((90, 90, 20), scores=[0.5]), 0.0
    )
    sets = [measure.measured("photographs", [hit] * 9), measure.measured("scenes", [miss])]
    assert 1 / (1 + np.exp(-measure.calibrated(sets)[1])) == pytest.approx(0.9, abs=1e-3)


def test_one_true_circle_makes_one_found_right() -> None:
    twice = observed(
        circles((50, 50, 20), (51, 50, 20), (90, 90, 9), scores=[0.9, 0.8, 0.7]), circles((50, 50, 20))
    )
    scores, right = measure.right_ones([twice])
    assert scores == pytest.approx([0.9, 0.8, 0.7])
    assert right.tolist() == [1, 0, 0]


def test_recalibrated_scores_keep_their_order() -> None:
    found = circles((50, 50, 20), (90, 90, 9), scores=[0.9, 0.6])
    same = measure.recalibrated(measure.measured("set", [observed(found, found)]), 1, 0)
    assert same.observations[0].found["score"] == pytest.approx(found["score"], abs=1e-5)
    lower = measure.recalibrated(measure.measured("set", [observed(found, found)]), 2, -1)
    scores = lower.observations[0].found["score"]
    assert scores[0] > scores[1]
    assert scores[0] == pytest.approx(1 / (1 + np.exp(-(2 * np.log(9) - 1))), abs=1e-5)
    assert found["score"][0] == np.float32(0.9), "the given ones stay as they are"


def test_files_say_what_was_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    monkeypatch.setattr(fit, "TREES", (4, 5))
    monkeypatch.setitem(fit.PARAMETERS, "min_data_in_leaf", 10)
    monkeypatch.setitem(fit.PARAMETERS, "num_threads", 1)

    def example(seed: int) -> tuple[Example, float]:
        iou = random.random(60)
        table = random.normal(size=(60, len(features.NAMES))).astype(np.float32)
        table[:, 5] = iou
        ellipses = random.uniform((0, 0, 8, 6, 0), (300, 200, 30, 8, 1), (60, 5)).astype(np.float32)
        fine = Fine(ellipses, random.normal(size=(60, len(FINE_NAMES))).astype(np.float32))
        return Example(Candidates(ellipses, table), fine, iou, iou, np.zeros(60, np.bool_)), 1.0

    examples = [example(seed) for seed in range(20)]
    nodes = fit.fit(examples)
    assert (nodes["stage"] == 1).sum() == 4
    assert (nodes["stage"] == 2).sum() == 5
    np.testing.assert_array_equal(fit.fit(examples), nodes)
    truth = circles(*DISCS)
    card.write(tmp_path, nodes, 1.23456, -0.5, [measure.measured("coins", [observed(truth, truth)] * 3)], 20)
    np.testing.assert_array_equal(np.load(tmp_path / "scorer.npy"), nodes)
    assert '"slope": 1.2346' in (tmp_path / "scorer.json").read_text()
    text = (tmp_path / "scorer.md").read_text()
    assert f"({len(nodes):,} nodes)" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| coins")]
    assert row.startswith("| coins | 3 | 6 | 1.000 (1.00 to 1.00) | 1.000 (1.00 to 1.00) |")
    assert row.count("|") == len(card.COLUMNS) + 1
    assert text.isascii()
