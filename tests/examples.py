"""Valid records and their parts; each function makes one, and takes what should be different."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np

from streams.circles import CIRCLE, Circles, object_ids
from streams.codec import Codec
from streams.errors import InvalidRecord
from streams.records import CirclesDetected, DeadLetterRetried, ImageFailed, ImageUploaded, Record
from streams.reevaluation import (
    ImageAnnotated,
    ImageNotReplayed,
    ModelPromoted,
    ReplayChanged,
    ReplayRequested,
    not_replayed_id,
)
from streams.topics import UPLOADED, Topic, topic_of
from streams.views import Batch, Message, detected_keys

IMAGE_ID = UUID("01939f3e-8a00-7c3f-9d52-6f1c0e8a4b21")
CODEC = Codec()
MOMENT = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)


def uploaded(**more: Any) -> ImageUploaded:
    facts: dict[str, Any] = {
        "event_id": UUID(int=1),
        "image_id": IMAGE_ID,
        "uri": "file:///images/a.png",
        "sha256": "0" * 64,
        "content_type": "image/png",
        "width": 64,
        "height": 48,
        "size_bytes": 100,
        "uploaded_at": MOMENT,
    }
    return ImageUploaded(**facts | more)


def circles(count: int) -> Circles:
    """Circles of radius 1, 2, 3, ... around (r, r), with their ids."""
    made = np.zeros(count, CIRCLE)
    made["x"] = made["y"] = made["radius"] = radii = np.arange(1, count + 1)
    made["x_max"] = made["y_max"] = 2 * radii
    made["score"] = 0.5
    made["object_id"] = np.array([i.bytes for i in object_ids(IMAGE_ID, "circles", "1", count)], "V16")
    return made


def detected(**more: Any) -> CirclesDetected:
    facts: dict[str, Any] = {
        "event_id": UUID(int=2),
        "image_id": IMAGE_ID,
        "model_name": "circles",
        "model_version": "1",
        "latency_ms": 8.25,
        "detected_at": MOMENT,
        "source_partition": 3,
        "source_offset": 1207,
    }
    if "circles" not in more:
        facts["circles"] = circles(2)
    return CirclesDetected(**facts | more)


def failed(**more: Any) -> ImageFailed:
    facts: dict[str, Any] = {
        "dead_letter_id": UUID(int=3),
        "stage": "detect",
        "error": "ObjectUnreadable",
        "reason": "it does not exist",
        "source_topic": UPLOADED.name,
        "source_partition": 3,
        "source_offset": 1207,
        "failed_at": MOMENT,
    }
    return ImageFailed(**facts | more)


def retried(**more: Any) -> DeadLetterRetried:
    facts: dict[str, Any] = {"dead_letter_id": UUID(int=3), "retried_at": MOMENT}
    return DeadLetterRetried(**facts | more)


def annotated(**more: Any) -> ImageAnnotated:
    facts: dict[str, Any] = {
        "annotation_id": UUID(int=4),
        "image_id": IMAGE_ID,
        "annotator": "anna",
        "annotated_at": MOMENT,
        "drawn_as": "circles",
    }
    if "circles" not in more:
        facts["circles"] = circles(2)
    return ImageAnnotated(**facts | more)


def replay(**more: Any) -> ReplayRequested:
    facts: dict[str, Any] = {
        "replay_id": UUID(int=5),
        "model_name": "circles",
        "model_version": "2",
        "calls_at_once": 2,
        "begins": (0,),
        "ends": (10,),
        "requested_by": "anna",
        "requested_at": MOMENT,
    }
    return ReplayRequested(**facts | more)


def replay_changed(**more: Any) -> ReplayChanged:
    facts: dict[str, Any] = {
        "change_id": UUID(int=6),
        "replay_id": UUID(int=5),
        "state": "paused",
        "changed_by": "anna",
        "changed_at": MOMENT,
    }
    return ReplayChanged(**facts | more)


def not_replayed(**more: Any) -> ImageNotReplayed:
    facts: dict[str, Any] = {
        "replay_id": UUID(int=5),
        "image_id": IMAGE_ID,
        "error": "ObjectUnreadable",
        "reason": "it does not exist",
        "source_partition": 3,
        "source_offset": 1207,
        "failed_at": MOMENT,
    } | more
    facts.setdefault("event_id", not_replayed_id(facts["replay_id"], facts["image_id"]))
    return ImageNotReplayed(**facts)


def promoted(**more: Any) -> ModelPromoted:
    facts: dict[str, Any] = {
        "promotion_id": UUID(int=7),
        "model_name": "circles",
        "model_version": "2",
        "previous_name": "circles",
        "previous_version": "1",
        "promoted_by": "anna",
        "promoted_at": MOMENT,
    }
    return ModelPromoted(**facts | more)


def message(record: Record | InvalidRecord, topic: Topic | None = None, **more: Any) -> Message:
    """A message of the log, on the record's own topic unless another is given."""
    if topic is None:
        assert not isinstance(record, InvalidRecord)
        topic = topic_of(record)
    facts: dict[str, Any] = {
        "topic": topic.name,
        "partition": 0,
        "offset": 0,
        "timestamp": MOMENT,
        "key": None,
        "value": None,
        "headers": (),
    }
    return Message(record=record, **facts | more)


def batch(log: Sequence[Message]) -> Batch:
    """Messages as the fold takes them."""
    detected = [(m.partition, m.record) for m in log if isinstance(m.record, CirclesDetected)]
    detections, wrong = CODEC.detections([CODEC.encode(record) for _, record in detected])
    assert not wrong
    others = [m for m in log if not isinstance(m.record, CirclesDetected)]
    partitions = np.array([partition for partition, _ in detected], np.int64)
    return Batch(others, detections, list(detected_keys(detections)), partitions)


def values(record: Record) -> dict[str, Any]:
    """A record as something that `==` compares whole, its circles too."""
    found: dict[str, Any] = {"": type(record)} | {f.name: getattr(record, f.name) for f in fields(record)}
    if isinstance(record, CirclesDetected | ImageAnnotated):
        found["circles"] = (record.circles.dtype, record.circles.tobytes())
    return found
