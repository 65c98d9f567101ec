"""Every measure on cases small enough to work out by hand, and intervals against another bootstrap."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest
import scipy.stats  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.circles import Circles
from detector.evaluation.bootstrap import Figure, estimate, quantiles, ratio
from detector.evaluation.dataset import of_boxes
from detector.evaluation.measures import Report, measure
from detector.evaluation.score import score
from tests.detector.evaluation import circles, observed, scored, spots

NONE = circles()


def report(*images: tuple[Circles, Circles], min_score: float = 0.5) -> Report:
    return measure("set", "model:1", scored(*images, min_score=min_score))


def values(figures: dict[str, Figure]) -> dict[str, float]:
    return {name: figure.value for name, figure in figures.items()}


def test_right_missed_and_false_circles_are_counted_at_each_iou() -> None:
    truth = circles((100, 100, 40), (300, 100, 40), (500, 100, 40))
    found = circles((100, 100, 40), (300, 110, 40), (700, 100, 40), (900, 100, 40))  # the second: IoU 7/9
    seen = report((found, truth))
    assert (seen.images, seen.annotated, seen.found) == (1, 3, 4)
    assert values(seen.precision) == {"0.3": 0.5, "0.5": 0.5, "0.7": 0.5, "0.8": 0.25, "0.9": 0.25}
    assert values(seen.recall) == pytest.approx(
        {"0.3": 2 / 3, "0.5": 2 / 3, "0.7": 2 / 3, "0.8": 1 / 3, "0.9": 1 / 3}
    )
    assert seen.f1["0.5"].value == pytest.approx(4 / 7)
    assert seen.jaccard["0.5"].value == pytest.approx(2 / 5)
    assert seen.count_error.value == 1


def test_box_and_circle_differ_where_the_frame_cuts() -> None:
    cut = of_boxes(np.array([[0.0, 100.0, 40.0, 180.0]]))  # half a circle of radius 40, annotated as seen
    found = circles((0, 140, 40))
    found["x_min"] = 0
    seen = report((found, cut))
    assert seen.recall["0.9"].value == 1
    assert seen.circle.recall["0.7"].value == 0
    assert seen.ap["box"]["0.5:0.95"].value == pytest.approx(1)
    assert seen.ap["circle"]["0.5:0.95"].value < 0.5
    assert seen.centre_error_px.median.value == pytest.approx(20)
    assert seen.radius_error_px.mean.value == pytest.approx(10)


def test_only_precision_by_rank_sees_circles_below_the_least_score() -> None:
    truth = circles((100, 100, 40), (300, 100, 40))
    found = circles((100, 100, 40), (300, 100, 40), scores=[0.9, 0.2])
    seen = report((found, truth))
    assert (seen.found, seen.recall["0.5"].value) == (1, 0.5)
    assert seen.ap["box"]["0.5"].value == pytest.approx(1)
    assert report((found, truth), min_score=0.2).recall["0.5"].value == 1


def test_errors_are_of_the_pairs_at_iou_one_half_over_all_images() -> None:
    truth = circles((100, 100, 40))
    moved = [circles((100 + by, 100, 40 + by)) for by in (0, 1, 5)]
    seen = report(*[(found, truth) for found in moved], (circles((900, 900, 40)), truth))
    assert seen.centre_error_px.median.value == pytest.approx(1)
    assert seen.centre_error_px.mean.value == pytest.approx(2)
    assert seen.radius_error_px.median.value == pytest.approx(1)


def test_calibration_is_the_distance_of_scores_from_what_came_right() -> None:
    truth = circles(*[(100 * n, 100, 30) for n in range(1, 5)])
    found = circles(
        *[(100 * n, 100, 30) for n in range(1, 4)], (900, 900, 30), scores=[0.95, 0.95, 0.55, 0.55]
    )
    seen = report((found, truth))
    assert seen.calibration_error.value == pytest.approx((2 * 0.05 + 2 * 0.05) / 4)
    low, high = (b for b in seen.calibration if b.circles)
    assert (low.low, low.high, low.circles, low.right) == (0.5, 0.6, 2, 0.5)
    assert (high.low, high.high, high.circles, high.right) == (0.9, 1, 2, 1)
    assert (low.score, high.score) == pytest.approx((0.55, 0.95))
    assert len(seen.calibration) == 10


def test_a_perfectly_certain_circle_is_in_the_last_bin() -> None:
    one = circles((100, 100, 30))
    assert [b.circles for b in report((one, one)).calibration] == [0] * 9 + [1]


def test_latency_is_that_of_images() -> None:
    one = circles((100, 100, 30))
    images = score([observed(one, one, latency_ms=ms) for ms in range(1, 201)], 0.5)
    latency = measure("set", "model:1", images).latency_ms
    assert (latency.p50.value, latency.p99.value) == (100, 198)
    assert latency.p50.low < 100 < latency.p50.high
    assert latency.p99.low < 198 <= latency.p99.high


def test_nothing_to_measure_is_null_in_json_and_not_a_number_that_looks_good() -> None:
    seen = report((NONE, circles((100, 100, 40))), (NONE, NONE))
    told = orjson.loads(orjson.dumps(seen))
    assert told["precision"]["0.5"] == {"value": None, "low": None, "high": None}
    assert told["recall"]["0.5"]["value"] == 0
    assert told["centre_error_px"]["median"]["value"] is None
    assert told["calibration_error"]["value"] is None
    assert told["ap"]["box"]["0.5:0.95"]["value"] == 0
    empty = report((NONE, NONE))
    assert math.isnan(empty.recall["0.5"].value)
    assert math.isnan(empty.ap["circle"]["0.5"].value)


def test_one_image_has_no_interval() -> None:
    one = circles((100, 100, 30))
    assert math.isnan(report((one, one)).recall["0.5"].low)


@settings(max_examples=20)
@given(st.lists(st.tuples(spots().map(of_boxes), spots().map(of_boxes)), min_size=2, max_size=6))
def test_intervals_hold_their_values_and_shares_are_shares(images: list[tuple[Circles, Circles]]) -> None:
    seen = report(*images)
    for by_iou in (seen.precision, seen.recall, seen.f1, seen.jaccard, *seen.ap.values()):
        for figure in by_iou.values():
            if not math.isnan(figure.value):
                assert 0 <= figure.value <= 1 + 1e-9
                assert 0 <= figure.low <= figure.high <= 1 + 1e-9
    thresholds = [seen.recall[iou].value for iou in ("0.3", "0.5", "0.7", "0.8", "0.9")]
    assert thresholds == sorted(thresholds, reverse=True) or math.isnan(thresholds[0])


def test_the_interval_of_a_mean_is_that_of_scipys_bootstrap() -> None:
    sample = np.random.default_rng(1).exponential(10, 80)
    (figure,) = estimate(lambda weights: (weights @ sample / 80)[:, None], 80)
    theirs = scipy.stats.bootstrap((sample,), np.mean, method="percentile", rng=np.random.default_rng(2))
    assert figure.value == pytest.approx(sample.mean())
    assert [figure.low, figure.high] == pytest.approx(list(theirs.confidence_interval), rel=0.05)


def test_the_interval_is_the_same_at_every_call_and_in_any_pieces() -> None:
    sample = np.arange(50.0)
    once, again, in_pieces = (
        estimate(lambda weights: quantiles(sample, weights, (0.5, 0.9)), 50, cells)
        for cells in (50, 50, 1_000_000)
    )
    assert once == again == in_pieces


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=12),
    st.sampled_from([0.01, 0.5, 0.99]),
)
def test_weighted_quantiles_are_those_of_repeated_values(pairs: list[tuple[int, int]], share: float) -> None:
    numbers, weights = np.array(pairs, float).T
    (got,) = quantiles(numbers, weights[None], (share,)).ravel()
    repeated = np.repeat(numbers, weights.astype(int))
    if len(repeated):
        assert got == np.quantile(repeated, share, method="inverted_cdf")
    else:
        assert math.isnan(got)


def test_a_share_of_nothing_is_no_number() -> None:
    assert ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist() == [
        0.5,
        pytest.approx(np.nan, nan_ok=True),
    ]
