"""What a comparison over HTTP is asked for, as the process that makes it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from streams.settings import Settings

Change = Literal["changed", "gained", "lost", "moved", "only_moved", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """Which versions, by which rule, on which images.

    project: whose rows alone are seen, None for all; at: a generation of the view, None for the live one, and
    a snapshot of it, None for its newest.
    """

    settings: Settings
    project: str | None
    at: tuple[str | None, int | None] = (None, None)
    a: str
    b: str
    min_iou: float
    iou: Literal["circle", "box"]
    moved_px: float
    filters: dict[str, Any]
    min_score_a: float | None = None
    min_score_b: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Comparing):
    """The comparison, as JSON or as a page."""

    worst: int
    page: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Comparing):
    """Its images, or those with a change, the worst first: at most so many."""

    limit: int
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Required:
    """What a version has to meet on ground truth, beside the current one."""

    settings: Settings
    model: str
    require: list[str]


Asked = Compared | Listed | Required


@dataclass(frozen=True, slots=True)
class Told:
    """What the process is given: at most so many seconds and megabytes for it."""

    asked: Asked
    timeout_s: float
    memory_mb: int
