"""Which model version is meant by `NAME:VERSION`, and from which score on its circles count."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from streams.errors import UnknownVersion

WITH_SCORE = re.compile(r"(?P<version>.+)\+min_score=(?P<score>[0-9.]+(?:e-?[0-9]+)?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Detections of a model, and of their circles those with at least this score."""

    name: str
    version: str
    min_score: float | None = None

    def __str__(self) -> str:
        score = "" if self.min_score is None else f"+min_score={self.min_score:g}"
        return f"{self.name}:{self.version}{score}"


def resolve(text: str, known: Collection[tuple[str, str]], min_score: float | None = None) -> ModelVersion:
    """What `circles:2` or `circles:2+min_score=0.5` means among the known names and versions.

    A version that is stored under just these words is taken as it is: a model was asked for it.
    min_score: said beside the text. Raises ValueError, UnknownVersion.
    """
    name, _, version = text.partition(":")
    if not (name and version):
        raise ValueError(f"{text!r} is no NAME:VERSION, as circles:2 is")
    found = ModelVersion(name, version)
    said = WITH_SCORE.fullmatch(version)
    if (name, version) not in known and said:
        found = ModelVersion(name, said["version"], _share(said["score"]))
    if (found.name, found.version) not in known:
        there = ", ".join(f"{name}:{version}" for name, version in sorted(known)) or "none of any model"
        raise UnknownVersion(
            f"there are no detections of {found.name}:{found.version} in the view, but of {there}"
        )
    if min_score is None:
        return found
    if found.min_score is not None:
        raise ValueError(f"{text} has a least score of its own: say one of the two")
    return replace(found, min_score=min_score)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"min_score={text}: a score is from 0 to 1")
    return share
