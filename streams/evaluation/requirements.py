"""What a version has to meet before it is promoted: words held against its figures on ground truth."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streams.evaluation.truth import Measure, OfTruth

COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
WORDS = re.compile(
    r"(?P<measure>.+?)\s*(?:(?P<how>>=|<=|>|<)\s*(?P<number>\d*\.?\d+)"
    r"|\s(?P<than>not worse|better) than current)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Held:
    """A requirement, whether it is met, and by what."""

    requirement: str
    is_met: bool
    because: str


def judge(requirement: str, truth: OfTruth) -> Held:
    """Hold one against the figures of a comparison of the current version, a, with the candidate, b.

    It is like `f1@.5 >= .95`, `count error <= 1`, `f1@.5 not worse than current` or `recall@.7 better than
    current`; what may be chance is neither better nor worse. Raises ValueError for anything else.
    """
    words = WORDS.fullmatch(requirement.strip())
    if not words:
        raise ValueError(
            f"{requirement!r} is none of: f1@.5 >= .95, f1@.5 not worse than current,"
            " f1@.5 better than current"
        )
    measure = _measure(words["measure"], truth)
    figure, difference = measure.b, measure.difference
    if words["than"]:
        met = measure.b_is == "better" if words["than"] == "better" else measure.b_is != "worse"
        because = (
            f"{figure.value:.3f}, {difference.value:+.3f} to the current one's"
            f" ({difference.low:+.3f} to {difference.high:+.3f}): {measure.b_is}"
        )
        met = met and not math.isnan(difference.value)
    else:
        met = COMPARED[words["how"]](figure.value, float(words["number"]))
        because = f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
    return Held(requirement, met, f"{because} on {truth.images:,} images")


def _measure(text: str, truth: OfTruth) -> Measure:
    """`f1@.5` is what the tables call `f1 @ 0.5`."""
    name, at, iou = (part.strip() for part in text.partition("@"))
    spelled = re.sub(r"(?<!\d)\.", "0.", iou)
    wanted = f"{name} @ {spelled}" if at else name
    known = {measure.name: measure for measure in truth.measures}
    if wanted not in known:
        raise ValueError(f"there is no measure {text!r}; there are {', '.join(known)}")
    return known[wanted]
