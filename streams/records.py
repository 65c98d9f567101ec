"""The records on the log: what happened, in the past tense, with units in the names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID, uuid5

from streams.circles import Circles, invalid_circles
from streams.reevaluation import (
    PROMOTIONS,
    ImageAnnotated,
    ImageNotReplayed,
    ModelPromoted,
    ReplayChanged,
    ReplayRequested,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUploaded:
    event_id: UUID
    image_id: UUID
    project_id: str = "default"
    source_id: str = ""
    uri: str
    sha256: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    captured_at: datetime | None = None
    uploaded_at: datetime
    attributes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256 must be 64 lower-case hex digits, not {self.sha256[:80]!r}")
        if self.content_type not in CONTENT_TYPES:
            known = ", ".join(CONTENT_TYPES)
            raise ValueError(f"content_type must be one of {known}, not {self.content_type[:80]!r}")
        texts = (self.project_id, self.source_id, self.uri, *self.attributes, *self.attributes.values())
        if (length := sum(map(len, texts))) > MOST_TEXT:
            raise ValueError(f"all texts together may have {MOST_TEXT} characters, not {length}")
        for name in _LIMITS:
            if not 0 < getattr(self, name) < _LIMITS[name]:
                raise ValueError(
                    f"{name} must be above 0 and below {_LIMITS[name]}, not {getattr(self, name)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CirclesDetected:
    event_id: UUID
    image_id: UUID
    project_id: str = "default"
    model_name: str
    model_version: str
    latency_ms: float
    detected_at: datetime
    source_partition: int
    source_offset: int
    replay_id: UUID | None = None
    circles: Circles

    def __post_init__(self) -> None:
        if wrong := invalid_circles(self.circles):
            raise ValueError(wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFailed:
    dead_letter_id: UUID
    image_id: UUID | None = None
    project_id: str = "default"
    stage: str
    error: str
    reason: str
    source_topic: str
    source_partition: int
    source_offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRetried:
    dead_letter_id: UUID
    image_id: UUID | None = None
    retried_at: datetime


Record = (
    ImageUploaded
    | CirclesDetected
    | ImageFailed
    | DeadLetterRetried
    | ImageAnnotated
    | ReplayRequested
    | ReplayChanged
    | ImageNotReplayed
    | ModelPromoted
)


def image_id_of(key: bytes | None) -> UUID | None:
    """The image that a message key names, where it names one: whose dead letter unreadable bytes are."""
    try:
        return UUID((key or b"").decode())
    except ValueError:
        return None


def subject(record: Record) -> UUID:
    """What a record is about: an image, a dead letter without one, a replay, or all promotions."""
    match record:
        case ModelPromoted():
            return PROMOTIONS
        case ReplayRequested() | ReplayChanged() | ImageNotReplayed():
            return record.replay_id
        case ImageFailed() | DeadLetterRetried() if record.image_id is None:
            return record.dead_letter_id
        case _:
            assert record.image_id is not None
            return record.image_id


def id_of(record: Record) -> UUID:
    """The id of the event itself: a message with the same one says nothing new."""
    match record:
        case ImageFailed() | DeadLetterRetried():
            return record.dead_letter_id
        case ImageAnnotated():
            return record.annotation_id
        case ReplayRequested():
            return record.replay_id
        case ReplayChanged():
            return record.change_id
        case ModelPromoted():
            return record.promotion_id
        case _:
            return record.event_id


def key_of(record: Record) -> bytes:
    """A record's message key: what it is about, as text, so that those about the same stay in order."""
    return str(subject(record)).encode()


class Place(Protocol):
    """What any library's message says of itself."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> Any: ...
    @property
    def value(self) -> Any: ...


def dead_letter(
    stage: str,
    message: Place,
    headers: tuple[tuple[str, bytes | None], ...],
    error: Exception,
    failed_at: datetime,
    record: ImageUploaded | None = None,
) -> ImageFailed:
    """The dead letter of a message: all of its bytes, its place and what was wrong.

    Its id is the same at every redelivery. A message too large for a dead letter stays where it is on the
    log, and the reason says so.
    """
    value, reason = message.value, str(error)[:MOST_REASON]
    if value is not None and len(value) > MOST_KEPT_BYTES:
        reason += f" (its {len(value)} bytes are too many to keep here; they are on the log)"
        value = None
    return ImageFailed(
        dead_letter_id=dead_letter_id(stage, message.topic, message.partition, message.offset),
        image_id=record.image_id if record else image_id_of(message.key),
        project_id=record.project_id if record else "default",
        stage=stage,
        error=type(error).__name__,
        reason=reason,
        source_topic=message.topic,
        source_partition=message.partition,
        source_offset=message.offset,
        key=message.key,
        value=value,
        headers=headers,
        failed_at=failed_at,
    )


def dead_letter_id(stage: str, topic: str, partition: int, offset: int) -> UUID:
    """Id of the dead letter of one message in one stage, equal at every redelivery."""
    return uuid5(_DEAD_LETTERS, f"{stage}/{topic}/{partition}/{offset}")


CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp")
MOST_TEXT = 100_000
"""Characters of an upload's texts: parts of them go into its outcome, which has to fit a message, too."""
MOST_REASON, MOST_KEPT_BYTES = 2_000, 3_000_000
_LIMITS = {"width": 2**31, "height": 2**31, "size_bytes": 2**63}
_SHA256 = re.compile("[0-9a-f]{64}")
_DEAD_LETTERS = UUID("6f0f2a7e-52b9-4a53-9f0b-0a9d8cf2f3a5")
