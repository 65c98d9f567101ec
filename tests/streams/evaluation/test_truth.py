"""Against ground truth: figures as `circles evaluate` has them, differences over the same draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from rich.console import Console

from deploy.judged import judged
from detector.evaluation.bootstrap import RESAMPLES, SEED, Figure
from detector.evaluation.measures import measure
from detector.evaluation.score import score_circles
from streams import lake
from streams.circles import Circles
from streams.evaluation.compare import compare
from streams.evaluation.groups import counted
from streams.evaluation.images import Rule
from streams.evaluation.truth import Annotated, OfTruth, against_truth
from streams.evaluation.version import resolve
from tests.examples import MOMENT, annotated, detected, uploaded
from tests.examples import circles as some_circles
from tests.lakes import fresh
from tests.streams.evaluation.test_tables import COMPARISON
from tests.streams.small_view import put


def scenes(images: int, noise: tuple[float, float], seed: int = 1) -> Annotated:
    """True circles, and what two versions find: each shifted by so many pixels, some missed, some false."""
    chance = np.random.default_rng(seed)
    truth = [disc(chance.uniform(50, 500, (chance.integers(0, 8), 2))) for _ in range(images)]

    def look(shift: float) -> list[Circles]:
        found = []
        for true in truth:
            kept = true[chance.random(len(true)) < 1 - shift / 20]
            places = np.column_stack([kept["x"], kept["y"]]) + chance.normal(0, shift, (len(kept), 2))
            false = chance.uniform(50, 500, (chance.integers(0, 1 + int(shift)), 2))
            circles = disc(np.vstack([places, false]))
            circles["score"] = chance.uniform(0, 1, len(circles))
            found.append(circles[np.argsort(-circles["score"], kind="stable")])
        return found

    sources = [("gate", "belt", None)[n % 3] for n in range(images)]
    return Annotated(sources, [n % 24 for n in range(images)], truth, look(noise[0]), look(noise[1]))


def disc(places: np.ndarray, radius: float = 20) -> Circles:
    circles = some_circles(len(places))
    circles["x"], circles["y"] = places.T
    circles["radius"], circles["score"] = radius, 1
    for side, sign in (("min", -1), ("max", 1)):
        for axis in "xy":
            circles[f"{axis}_{side}"] = circles[axis] + sign * circles["radius"]
    return circles


def test_the_figures_of_each_are_those_of_an_evaluation_alone() -> None:
    images = scenes(40, (6, 2))
    found = against_truth(images, min_score_b=0.2)
    for circles, which, least in ((images.a, "a", 0.0), (images.b, "b", 0.2)):
        alone = measure("", "", score_circles(circles, images.truth, [0.0] * 40, least))
        expected: dict[str, Figure] = {
            "precision @ 0.5": alone.precision["0.5"],
            "recall @ 0.7": alone.recall["0.7"],
            "f1 @ 0.9": alone.f1["0.9"],
            "circle f1 @ 0.8": alone.circle.f1["0.8"],
            "ap @ 0.5:0.95": alone.ap["box"]["0.5:0.95"],
            "circle ap @ 0.5": alone.ap["circle"]["0.5"],
            "count error": alone.count_error,
            "centre error, median px": alone.centre_error_px.median,
            "centre error, mean px": alone.centre_error_px.mean,
            "radius error, mean px": alone.radius_error_px.mean,
            "calibration error": alone.calibration_error,
        }
        for name, figure in expected.items():
            assert getattr(found.of(name), which) == figure, name
    assert (found.images, found.annotated) == (40, sum(map(len, images.truth)))
    assert len(found.measures) == 2 * 12 + 4 + 1 + 4 + 1


def test_a_difference_is_drawn_over_the_same_images_for_both() -> None:
    """Recall over drawn images, by hand."""
    images = scenes(40, (6, 2))
    hits = [
        [each.box_hits[1] for each in score_circles(circles, images.truth, [0.0] * 40, 0.0)]
        for circles in (images.a, images.b)
    ]
    true = np.array([len(circles) for circles in images.truth])
    draws = np.random.default_rng(SEED).multinomial(40, np.full(40, 1 / 40), RESAMPLES)
    drawn = [(draws @ np.array(each)) / (draws @ true) for each in hits]
    low, high = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    recall = against_truth(images).of("recall @ 0.5")
    assert recall.difference.low == pytest.approx(low)
    assert recall.difference.high == pytest.approx(high)
    assert recall.difference.value == pytest.approx((sum(hits[1]) - sum(hits[0])) / true.sum())


def verdicts(found: OfTruth) -> dict[str, str]:
    return {measure.name: measure.b_is for measure in found.measures}


def test_what_is_clearly_better_is_said_to_be_and_the_same_is_not() -> None:
    better = verdicts(against_truth(scenes(60, (8, 1))))
    assert {better[n] for n in ("f1 @ 0.5", "ap @ 0.5", "count error", "centre error, mean px")} == {"better"}
    worse = verdicts(against_truth(scenes(60, (1, 8))))
    assert {worse[n] for n in ("f1 @ 0.5", "recall @ 0.7", "centre error, mean px")} == {"worse"}
    images = scenes(60, (3, 3))
    same = against_truth(images._replace(b=images.a))
    assert set(verdicts(same).values()) == {"may be chance"}
    assert {measure.difference.value for measure in same.measures} == {0.0}


def test_one_image_and_images_without_circles_are_no_reason_to_fail() -> None:
    for images, empty in ((1, False), (5, True)):
        made = scenes(images, (1, 1))
        if empty:
            made = made._replace(truth=[each[:0] for each in made.truth], a=[each[:0] for each in made.a])
        found = against_truth(made)
        assert set(verdicts(found).values()) <= {"may be chance", "worse"}
        assert empty == math.isnan(found.of("recall @ 0.5").a.value)


def test_a_version_that_is_better_on_average_and_worse_on_a_camera_is_seen() -> None:
    images = scenes(60, (6, 1))
    swapped = [
        a if source == "gate" else b for source, a, b in zip(images.sources, images.a, images.b, strict=True)
    ]
    before = [
        b if source == "gate" else a for source, a, b in zip(images.sources, images.a, images.b, strict=True)
    ]
    found = against_truth(images._replace(a=before, b=swapped))
    assert found.of("f1 @ 0.5").b_is == "better"
    assert [(measure.name, measure.b_is) for measure in found.f1_by_source] == [
        ("gate", "worse"), *[(m.name, "better") for m in found.f1_by_source[1:]],
    ]  # fmt: skip


def look_again(
    truth: Sequence[Circles], misses: Callable[[int, Circles], np.ndarray], seed: int
) -> list[Circles]:
    """Found: all true circles but those that are missed."""
    chance = np.random.default_rng(seed)
    found = []
    for n, true in enumerate(truth):
        kept = true[chance.random(len(true)) >= misses(n, true)]
        kept["score"] = np.linspace(1, 0.5, len(kept))
        found.append(kept)
    return found


def test_a_version_that_is_better_on_average_and_worse_at_night_or_on_small_circles_is_seen() -> None:
    chance = np.random.default_rng(7)
    truth = [
        np.concatenate([disc(chance.uniform(50, 500, (3, 2)), 8), disc(chance.uniform(50, 500, (9, 2)), 30)])
        for _ in range(96)
    ]
    hours = [n % 24 for n in range(95)] + [None]
    before = look_again(truth, lambda _, true: np.full(len(true), 0.3), 1)

    def small_and_at_night(n: int, true: Circles) -> np.ndarray:
        return np.where((true["radius"] < 10) | (hours[n] == 3), 0.8, 0.05)

    after = look_again(truth, small_and_at_night, 2)
    found = against_truth(Annotated(["gate"] * 96, hours, truth, before, after))
    assert found.of("f1 @ 0.5").b_is == "better"
    small, large = found.f1_by_radius
    assert [(small.name, small.b_is), (large.name, large.b_is)] == [
        ("5 to below 10", "worse"), ("20 to below 40", "better")
    ]  # fmt: skip
    assert (small.images, small.annotated, large.annotated) == (96, 3 * 96, 9 * 96)
    assert [each.name for each in found.f1_by_hour] == [*(f"{hour:02}:00Z" for hour in range(24)), "unknown"]
    assert [each.name for each in found.f1_by_hour if each.b_is == "worse"] == ["03:00Z"]
    assert [each.images for each in found.f1_by_hour] == [4] * 23 + [3, 1]
    assert found.f1_by_hour[-1].b_is == "may be chance", "one image has no interval"


def test_f1_of_groups_is_that_of_their_images_alone() -> None:
    images = scenes(30, (6, 2))
    found = against_truth(images, 0.2, 0.4)
    for source in ("gate", "belt", None):
        here = [n for n, each in enumerate(images.sources) if each == source]
        (group,) = [each for each in found.f1_by_source if each.name == (source or "unknown")]
        truth, a, b = ([of[n] for n in here] for of in (images.truth, images.a, images.b))
        alone = against_truth(Annotated([source] * len(here), [0] * len(here), truth, a, b), 0.2, 0.4)
        f1 = alone.of("f1 @ 0.5")
        assert (group.a, group.b, group.difference, group.b_is) == (f1.a, f1.b, f1.difference, f1.b_is)
        assert (group.images, group.annotated) == (alone.images, alone.annotated)
    (of_all,) = found.f1_by_radius  # all have a radius of 20
    f1 = found.of("f1 @ 0.5")
    assert (of_all.a.value, of_all.b.value) == (f1.a.value, f1.b.value)


def test_a_false_circle_is_in_the_band_of_its_own_radius() -> None:
    true = disc(np.array([[100.0, 100.0]]), 39.5)
    right, false = disc(np.array([[100.0, 100.0]]), 40.5), disc(np.array([[300.0, 300.0]]), 170)
    both = np.concatenate([right, false])
    rows = counted([both], [true], 0)[0].tolist()
    assert rows == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_what_is_said_of_it() -> None:
    def said(truth: OfTruth | None) -> str:
        console = Console(width=200, record=True)
        for part in judged(replace(COMPARISON, truth=truth)):
            console.print(part)
        return console.export_text()

    assert "none of these images has ground truth" in said(None)
    better = said(against_truth(scenes(60, (8, 1))))
    assert "true circles in 60 images circles:2 finds" in better
    assert "points more than circles:1, and this is not chance" in better
    assert "f1 @ 0.5 by source" in better and "f1 @ 0.5 by hour of the day (UTC)" in better
    assert "by radius" not in better, "all are of one"
    images = scenes(60, (3, 3))
    assert "which may be chance" in said(against_truth(images))
    assert "%, as circles:1 does;" in said(against_truth(images._replace(b=images.a)))


def test_of_an_image_its_newest_annotation_counts(catalogs: str, tmp_path: Path) -> None:
    settings = fresh(catalogs, tmp_path)
    made = scenes(6, (2, 1), seed=3)
    ids = [UUID(int=(n + 1) << 64) for n in range(6)]
    looked: list[Any] = []
    for n, image_id in enumerate(ids):
        at = MOMENT + timedelta(hours=n)
        looked.append(uploaded(image_id=image_id, source_id="gate", uploaded_at=at))
        for version, found in (("1", made.a[n]), ("2", made.b[n])):
            looked.append(detected(image_id=image_id, model_version=version, circles=found))
    wrong = disc(np.array([[9.0, 9.0]]))
    said = [
        [
            annotated(annotation_id=UUID(int=(n << 8) + number), image_id=image_id, circles=circles)
            for n, image_id in enumerate(ids[:5])
        ]
        for number, circles in ((2, wrong), (1, wrong))
    ]
    said[1] = [replace(each, circles=true) for each, true in zip(said[1], made.truth, strict=False)]
    with lake.connect(settings, read_only=False) as view:
        put(settings, view, looked, 0)
        put(settings, view, said[0], 0)
        now = put(settings, view, said[1], 1)
        known = {("circles", "1"), ("circles", "2")}
        a, b = resolve("circles:1", known), resolve("circles:2", known)
        compared = compare(view, now, a, b, Rule(), {})
        of_none = compare(view, now, a, b, Rule(), {"since": MOMENT + timedelta(hours=5)})
    expected = against_truth(
        Annotated(["gate"] * 5, [12, 13, 14, 15, 16], made.truth[:5], made.a[:5], made.b[:5])
    )
    assert compared.truth == expected
    assert of_none.truth is None
