"""Which model version is meant by `NAME:VERSION`, and from which score on its circles count."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from streams.errors import UnknownVersion
from streams.version import parted, spelled


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Detections of a model, and of their circles those with at least this score."""

    name: str
    version: str
    min_score: float | None = None

    def __str__(self) -> str:
        if self.min_score is None:
            return f"{self.name}:{self.version}"
        bare, parameters = parted(self.version)
        return f"{self.name}:{spelled(bare, parameters | {'min_score': self.min_score})}"


def resolve(text: str, known: Collection[tuple[str, str]], min_score: float | None = None) -> ModelVersion:
    """What `circles:2` or `circles:2+min_score=0.5` means among the known names and versions.

    A version that the view has is taken as it is: a model was asked for it. One that differs from it by a
    least score alone is it, with fewer circles. min_score: said beside the text. Raises ValueError,
    UnknownVersion.
    """
    name, _, version = text.partition(":")
    if not (name and version):
        raise ValueError(f"{text!r} is no NAME:VERSION, as circles:2 is")
    found = ModelVersion(name, version)
    if (name, version) not in known:
        bare, parameters = parted(version)
        found = ModelVersion(name, spelled(bare, parameters))
        least = parameters.pop("min_score", None)
        if (name, found.version) not in known and isinstance(least, float):
            found = ModelVersion(name, spelled(bare, parameters), least)
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
