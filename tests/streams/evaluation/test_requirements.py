"""Requirements are met by the figures, and said to be none where they are none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detector.evaluation.bootstrap import Figure
from streams.errors import NothingToCompare
from streams.evaluation.comparison import Comparison
from streams.evaluation.measures import Measure, Verdict
from streams.evaluation.requirements import Held, hold, read
from streams.evaluation.truth import OfTruth, against_truth
from tests.streams.evaluation.test_tables import COMPARISON
from tests.streams.evaluation.test_truth import scenes


def judge(requirement: str, found: Comparison) -> Held:
    return hold(read(requirement), found)


def truth(value: float, difference: float, verdict: Verdict) -> Comparison:
    of_b = Figure(value, value - 0.1, value + 0.1)
    of_a = Figure(value - difference, value - 0.2, value)
    apart = Figure(difference, difference - 0.01, difference + 0.01)
    measure = Measure("f1 @ 0.5", of_a, of_b, apart, verdict)
    return replace(COMPARISON, truth=OfTruth(40, 100, [measure], [], [], []))


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        ("f1@.5 >= .9", True), ("f1@0.5>=0.9", True), ("f1 @ .5 > .9", False), ("f1@.5 <= .9", True),
        ("f1@.5 < .9", False), ("f1@.5 >= 0.91", False), ("  f1@.5 >= .89 ", True),
    ],
)  # fmt: skip
def test_a_figure_is_held_against_a_number(requirement: str, met: bool) -> None:
    held = judge(requirement, truth(0.9, 0.0, "may be chance"))
    assert (held.is_met, held.because) == (met, "0.900 (0.800 to 1.000) on 40 images")


@pytest.mark.parametrize(
    ("verdict", "not_worse", "better"),
    [("better", True, True), ("may be chance", True, False), ("worse", False, False)],
)
def test_a_figure_is_held_against_the_current_ones(verdict: Verdict, not_worse: bool, better: bool) -> None:
    found = truth(0.9, 0.02, verdict)
    assert judge("f1@.5 not worse than current", found).is_met == not_worse
    held = judge("f1@.5 better than current", found)
    assert held.is_met == better
    assert f"0.900, +0.020 to the current one's (+0.010 to +0.030): {verdict}" in held.because


def test_what_was_never_measured_meets_nothing() -> None:
    nothing = truth(float("nan"), float("nan"), "may be chance")
    for requirement in ("f1@.5 >= 0", "f1@.5 <= 1", "f1@.5 not worse than current"):
        assert not judge(requirement, nothing).is_met


@pytest.mark.parametrize(
    "requirement", ["", "f1@.5", "f1@.5 == .9", "f1@.5 worse than current", "f1@.5 >= x"]
)
def test_what_is_no_requirement_is_said_to_be_none(requirement: str) -> None:
    with pytest.raises(ValueError, match="is none of"):
        read(requirement)


def test_every_measure_can_be_required_and_no_other() -> None:
    judged = against_truth(scenes(10, (2, 1)))
    found = replace(COMPARISON, truth=judged)
    for measure in judged.measures:
        spelled = measure.name.replace(" @ 0.", "@.").replace(":0.", ":.")
        assert judge(f"{spelled} >= 0", found).is_met
    with pytest.raises(ValueError, match=r"there is no measure 'f1@\.6'; there are precision @ 0\.5, "):
        read("f1@.6 >= .9")


def test_without_ground_truth_nothing_can_be_required() -> None:
    with pytest.raises(NothingToCompare, match="circles:1 and circles:2 have no image with ground truth in"):
        hold(read("f1@.5 >= .9"), COMPARISON)
