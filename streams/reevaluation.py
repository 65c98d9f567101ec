"""The records of re-evaluation: ground truth, replays through another version of a model, promotions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID, uuid5

from streams.circles import Circles, invalid_circles
from streams.version import Version

DrawnAs = Literal["circles", "boxes"]
State = Literal["running", "paused", "cancelled", "finished"]
ENDED: frozenset[State] = frozenset({"cancelled", "finished"})
PROMOTIONS = UUID("0d0c5a55-3a0e-4a1a-8f6e-6b1a5a1f0c3e")
"""The one message key of all promotions."""
CALLS_AT_ONCE = 16
"""Model calls that a replayer has under way, where a replay does not say: enough to keep eight cores busy."""
OF_AN_END = ("until", "images", "sample", "annotated")
"""What only a replay with an end may ask of its images."""
MOST_IMAGES = 50_000
"""Named in one replay: they have to fit a message."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageAnnotated:
    """All circles of an image, as somebody saw them; it takes the place of the annotation before it."""

    annotation_id: UUID
    image_id: UUID
    project_id: str = "default"
    annotator: str
    annotated_at: datetime
    model_name: str | None = None
    model_version: str | None = None
    drawn_as: DrawnAs
    circles: Circles

    def __post_init__(self) -> None:
        _one_of("drawn_as", self.drawn_as, get_args(DrawnAs))
        if wrong := invalid_circles(self.circles):
            raise ValueError(wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequested:
    """Which images are to be detected again, by which version. All conditions have to hold.

    share: of all, above 0 to 1, the same ones in every replay. follow: what is uploaded later, too, and no
    end. begins, ends: of `images.uploaded` by partition, the first offset and the one behind the last; of one
    that follows, behind what was there when it was requested.
    """

    replay_id: UUID
    model_name: str
    model_version: str
    project_id: str | None = None
    source_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    images: tuple[UUID, ...] | None = None
    sample: int | None = None
    share: float | None = None
    annotated: bool = False
    follow: bool = False
    calls_at_once: int
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    requested_by: str
    requested_at: datetime

    def __post_init__(self) -> None:
        _spelled_well(self.model_name, self.model_version)
        if not 0 < self.calls_at_once <= 256:
            raise ValueError(f"calls_at_once is 1 to 256, not {self.calls_at_once}")
        if self.sample is not None and self.sample < 1:
            raise ValueError(f"sample is 1 or more, not {self.sample}")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share is above 0, up to 1, not {self.share}")
        if self.follow and (with_an_end := [name for name in OF_AN_END if getattr(self, name)]):
            raise ValueError(
                f"a replay that follows has no end: {', '.join(with_an_end)} cannot be asked of it"
            )
        if self.images is not None and len(self.images) > MOST_IMAGES:
            raise ValueError(f"a replay names {MOST_IMAGES:,} images at most, not {len(self.images):,}")
        if len(self.begins) != len(self.ends) or not all(
            0 <= begin <= end for begin, end in zip(self.begins, self.ends, strict=True)
        ):
            raise ValueError("begins and ends are offsets, as many of one as of the other, none before 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayChanged:
    change_id: UUID
    replay_id: UUID
    state: State
    changed_by: str
    changed_at: datetime

    def __post_init__(self) -> None:
        _one_of("state", self.state, get_args(State))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNotReplayed:
    """An image that a replay has no result for; running the replay again tries it again."""

    event_id: UUID
    replay_id: UUID
    image_id: UUID
    error: str
    reason: str
    source_partition: int
    source_offset: int
    failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPromoted:
    promotion_id: UUID
    model_name: str
    model_version: str
    previous_name: str
    previous_version: str
    back: bool = False
    evidence: str = "{}"
    promoted_by: str
    promoted_at: datetime

    def __post_init__(self) -> None:
        _spelled_well(self.model_name, self.model_version)


def not_replayed_id(replay_id: UUID, image_id: UUID) -> UUID:
    """Id of the event that says so, equal at every redelivery."""
    return uuid5(replay_id, str(image_id))


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, not {value[:80]!r}")


def _spelled_well(name: str, version: str) -> None:
    """Raises ValueError: else detections of one version would lie under two names."""
    if (well := Version.read(f"{name}:{version}")) != (name, version):
        raise ValueError(f"the version is spelled {well}, not {name}:{version}")
