"""Which of an image's detections are asked for: what is served, those of a version, or of every one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from query_api.columns import DETECTION
from query_api.view.newest import Circle
from query_api.view.questions import Question
from query_api.view.reading import View
from streams.version import parted, spelled

CURRENT, ALL = "current", "all"
MEANING = (
    "current: what is served now; NAME:VERSION (or NAME, of any version): what it found, where it has"
    " looked at an image; all: what every version found"
)


class Which(NamedTuple):
    """Of a model and its version, where these are named; else of every version, or what is served."""

    model: str | None = None
    version: str | None = None
    every: bool = False

    @property
    def is_served(self) -> bool:
        return self.model is None and not self.every

    @property
    def named(self) -> dict[str, str]:
        """Values of the conditions `model` and `version` of queries.sql."""
        asked = {"model": self.model, "version": self.version}
        return {name: value for name, value in asked.items() if value is not None}

    def __str__(self) -> str:
        return ":".join(self.named.values())


def which(model: str | None, version: str | None = None) -> Which:
    """What the parameters `model` and `version` mean. Raises ValueError."""
    version = version or None  # `version=` says nothing
    if model in (None, CURRENT, ALL):
        if version is not None:
            raise ValueError("version is of a model: name that, too, like model=circles&version=2")
        return Which(every=model == ALL)
    assert model is not None
    name, colon, said = model.partition(":")
    if colon and version is not None:
        raise ValueError("the version is said twice: model=circles:2, or model=circles&version=2")
    if not name or (colon and (not said or ":" in said)):
        raise ValueError(f"model is {CURRENT}, {ALL}, NAME or NAME:VERSION, as circles:2 is, not {model!r}")
    if colon:
        version = said
    # A plus that was not written as %2B comes as a blank.
    return Which(name, version and spelled(*parted(version.replace(" ", "+"))))


class Looked(NamedTuple):
    """detections: of one image; objects: their circles, the best of each first; both as JSON has them."""

    detections: list[dict[str, Any]]
    objects: list[dict[str, Any]]


def circles_of(its: Looked) -> list[Circle]:
    """All their circles, without who found them."""
    return [Circle(o["object_id"].bytes, *(o[name] for name in Circle._fields[1:])) for o in its.objects]


async def looked(
    view: View, image_ids: Sequence[UUID], asked: Which, project: str | None, at: int | None
) -> dict[UUID, Looked]:
    """What is asked for of images that it looked at. Raises as `View.rows` does."""
    of = tuple(asked.named)
    values = {"images": image_ids, **asked.named}

    async def rows(query: str, outcome: tuple[str, ...], order: str) -> list[dict[str, Any]]:
        question = Question(query, ("among",), outcome, of, values, f"image_id, {order}", every=asked.every)
        return await view.rows(question.within(project), at)

    found: dict[UUID, Looked] = {}
    # Circles later than who has them: what is detected is then never without its circles.
    for row in await rows("images", ("detected",), "model_name, model_version"):
        detection = {"count" if name == "circle_count" else name: row[name] for name in DETECTION}
        found.setdefault(row["image_id"], Looked([], [])).detections.append(detection)
    for row in await rows("circles", (), "model_name, model_version, score DESC, object_id"):
        if row["image_id"] in found:
            found[row["image_id"]].objects.append(row)
    return found
