"""A figure of two versions, and whether what one has more of it is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from detector.evaluation.bootstrap import Figure, Statistic, estimate

Verdict: TypeAlias = Literal["better", "worse", "may be chance"]
LESS_IS_BETTER = ("count error", "centre error", "radius error", "calibration error")


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of both versions and what b has more of it, each with its 95 % interval."""

    name: str
    a: Figure
    b: Figure
    difference: Figure
    b_is: Verdict


def figures(of_a: Statistic, of_b: Statistic, images: int, cells: int = 1) -> list[tuple[Figure, ...]]:
    """Of each figure of a statistic that of a, of b and of b less a, over the same draws of the images."""
    found = [estimate(each, images, cells) for each in (of_a, of_b, _less(of_b, of_a))]
    return list(zip(*found, strict=True))


def verdict(name: str, difference: Figure) -> Verdict:
    """What a difference of b less a in a measure means; may be chance where it was not measured."""
    sign = -1 if name.startswith(LESS_IS_BETTER) else 1
    least, most = sorted((sign * difference.low, sign * difference.high))
    return "better" if least > 0 else "worse" if most < 0 else "may be chance"


def _less(of_b: Statistic, of_a: Statistic) -> Statistic:
    return lambda weights: of_b(weights) - of_a(weights)
