"""What a version has to meet before it is promoted: words held against its figures on ground truth."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streams.errors import NothingToCompare
from streams.evaluation.comparison import Comparison
from streams.evaluation.truth import MEASURES

COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
WORDS = re.compile(
    r"(?P<measure>.+?)\s*(?:(?P<how>>=|<=|>|<)\s*(?P<number>\d*\.?\d+)"
    r"|\s(?P<than>not worse|better) than current)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """As it was said, and how a measure is to compare with a number, or with the current version's."""

    text: str
    measure: str
    how: str
    number: float


@dataclass(frozen=True, slots=True)
class Held:
    """A requirement, whether it is met, and by what."""

    requirement: str
    is_met: bool
    because: str


def read(text: str) -> Requirement:
    """It is like `f1@.5 >= .95`, `count error <= 1`, `f1@.5 not worse than current` or `recall@.7 better than
    current`. Raises ValueError, which says what would be one, for anything else.
    """
    words = WORDS.fullmatch(text.strip())
    if not words:
        raise ValueError(
            f"{text!r} is none of: f1@.5 >= .95, f1@.5 not worse than current, f1@.5 better than current"
        )
    measure = _measure(words["measure"])
    return Requirement(text, measure, words["how"] or words["than"], float(words["number"] or "nan"))


def hold(requirement: Requirement, found: Comparison) -> Held:
    """Hold one against a comparison of the current version, a, with the candidate, b.

    What may be chance is neither better nor worse. Raises NothingToCompare without ground truth.
    """
    if found.truth is None:
        raise NothingToCompare(
            f"{found.a} and {found.b} have no image with ground truth in common:"
            " nothing can be required of them"
        )
    measure = found.truth.of(requirement.measure)
    figure, difference = measure.b, measure.difference
    if requirement.how in COMPARED:
        met = COMPARED[requirement.how](figure.value, requirement.number)
        because = f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
    else:
        met = measure.b_is == "better" if requirement.how == "better" else measure.b_is != "worse"
        met = met and not math.isnan(difference.value)
        because = (
            f"{figure.value:.3f}, {difference.value:+.3f} to the current one's"
            f" ({difference.low:+.3f} to {difference.high:+.3f}): {measure.b_is}"
        )
    return Held(requirement.text, met, f"{because} on {found.truth.images:,} images")


def _measure(text: str) -> str:
    """`f1@.5` is what the tables call `f1 @ 0.5`."""
    name, at, iou = (part.strip() for part in text.partition("@"))
    spelled = re.sub(r"(?<!\d)\.", "0.", iou)
    wanted = f"{name} @ {spelled}" if at else name
    if wanted not in MEASURES:
        raise ValueError(f"there is no measure {text!r}; there are {', '.join(MEASURES)}")
    return wanted
