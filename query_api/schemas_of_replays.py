"""What answers about replays and promotions look like, for the OpenAPI document alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from query_api.schemas import Answer


class Replay(Answer):
    """What it is about; `images` is how many it names."""

    replay_id: UUID
    model: str
    state: Literal["running", "following", "paused", "cancelled", "finished"]
    changed_by: str
    changed_at: datetime
    requested_by: str
    requested_at: datetime
    since: datetime | None
    until: datetime | None
    source: str | None
    project: str | None
    images: int | None
    sample: int | None
    share: float | None
    follow: bool
    only_with_ground_truth: bool
    calls_at_once: int


class Progress(Answer):
    """Of a replay that follows `images` are those it has come to, and `left` the uploads beyond these.

    waiting_since: when the oldest of those came.
    """

    images: int
    detected: int
    missed: int
    left: int
    waiting_since: datetime | None


class Missed(Answer):
    image_id: UUID
    error: str
    reason: str
    failed_at: datetime


class StartedReplay(Replay):
    progress: Progress


class ReplayInFull(StartedReplay):
    missed: list[Missed]


class Replays(Answer):
    replays: list[Replay]
    count: int


class Promotion(Answer):
    """`evidence`: how many `images` there were and how many it had `detected`, and what was `required`, each
    with the figure that met it."""

    promotion_id: UUID
    version: str
    previous: str
    back: bool
    evidence: dict[str, Any]
    promoted_by: str
    promoted_at: datetime


class Promotions(Answer):
    current: str | None
    promotions: list[Promotion]
    count: int


class Promoted(Answer):
    """How many images there are, and how many of them the version has detected."""

    current: str
    previous: str
    images: int
    detected: int
