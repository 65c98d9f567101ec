"""The fold: messages of the log to rows of the view. Pure: no clock, no I/O, no logging.

Laws, held by tests: any cut of a log into batches gives the same rows; folding any part again adds none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.columns import Texts
from streams.detections import Detections
from streams.errors import InvalidRecord
from streams.kept import KEPT, rows
from streams.records import (
    CirclesDetected,
    ImageFailed,
    ImageUploaded,
    Record,
    dead_letter,
    dead_letter_id,
    id_of,
)
from streams.rows import Headers, detection_rows, image_rows, object_rows, unlisted_rows
from streams.topics import UPLOADED

STAGE = "materialize"
Rows = dict[str, pa.Table]
"""New rows by table of `lake.sql`, columns by name."""
Detected = tuple[bytes, str, str]
"""A detection's key: the image's id and the model's name and version."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its place on the log and what its bytes were decoded to."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime
    key: bytes | None
    value: bytes | None
    headers: Headers
    record: Record | InvalidRecord


@dataclass(frozen=True, slots=True)
class Batch:
    """What a part of the log says: n detections with their keys and their partitions, (n,), and all other
    messages.
    """

    messages: Sequence[Message]
    detections: Detections
    detected: Sequence[Detected]
    detected_in: NDArray[np.int64]


@dataclass(slots=True)
class Keys:
    """Keys of rows: those a batch may add, or some of them.

    images: each with the partition of its row. kept: ids by table. unlisted: partition and offset, each with
    its image or None.
    """

    images: dict[UUID, int] = field(default_factory=dict)
    detections: set[Detected] = field(default_factory=set)
    kept: dict[str, set[UUID]] = field(default_factory=dict)
    unlisted: dict[tuple[int, int], UUID | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.images or self.detections or self.kept)


def fold(known: Keys, batch: Batch) -> Rows:
    """The rows that a batch adds to a view which has `known`; a key's first message wins.

    Bytes on `images.uploaded` that are no record are left to the detect stage, which reads the same
    topic and sends their dead letter; here only their place is kept. On any other topic they become a
    failure. Of an image's copies those on its own partition, behind it, leave nothing.
    """
    images: list[tuple[Message, ImageUploaded]] = []
    kept: list[tuple[Message, Record]] = []
    unlisted: list[tuple[Message, UUID | None]] = []
    seen = Keys(
        dict(known.images),
        set(known.detections),
        {table: set(ids) for table, ids in known.kept.items()},
        dict(known.unlisted),
    )
    for message in batch.messages:
        record = message.record
        if isinstance(record, InvalidRecord):
            if message.topic == UPLOADED.name:
                if _unlisted(seen, message, None):
                    unlisted.append((message, None))
                continue
            record = dead_letter(STAGE, message, message.headers, record, message.timestamp)
        if isinstance(record, ImageUploaded):
            partition = seen.images.get(record.image_id)
            if partition is None:
                seen.images[record.image_id] = message.partition
                images.append((message, record))
            elif partition != message.partition and _unlisted(seen, message, record.image_id):
                unlisted.append((message, record.image_id))
        elif isinstance(record, CirclesDetected):
            raise TypeError("a detection comes in the batch's columns, not as a message")
        elif _first(seen.kept.setdefault(KEPT[type(record)].table, set()), id_of(record)):
            kept.append((message, record))
    new = np.array([_first(seen.detections, key) for key in batch.detected], bool)
    tables = {
        "images": image_rows(images),
        "detections": detection_rows(batch.detections).filter(new),
        "objects": object_rows(batch.detections, new),
        **rows(kept),
        "unlisted": unlisted_rows(unlisted),
    }
    return {name: table for name, table in tables.items() if table.num_rows}


def keys(batch: Batch) -> Keys:
    """The keys of all rows that a batch might add."""
    found = keys_of(batch.messages)
    found.detections.update(batch.detected)
    return found


def keys_of(messages: Iterable[Message]) -> Keys:
    """The keys of all rows that messages might add."""
    found = Keys()
    for message in messages:
        record = message.record
        if isinstance(record, ImageUploaded):
            found.images.setdefault(record.image_id, message.partition)
            found.unlisted[message.partition, message.offset] = record.image_id
        elif isinstance(record, InvalidRecord) and message.topic == UPLOADED.name:
            found.unlisted[message.partition, message.offset] = None
        elif isinstance(record, InvalidRecord):
            letter = dead_letter_id(STAGE, message.topic, message.partition, message.offset)
            found.kept.setdefault(KEPT[ImageFailed].table, set()).add(letter)
        else:
            found.kept.setdefault(KEPT[type(record)].table, set()).add(id_of(record))
    return found


def detected_keys(detections: Detections) -> Iterator[Detected]:
    """The key of each detection."""
    names, versions = shared(detections.model_name), shared(detections.model_version)
    return zip(detections.image_id.tolist(), names, versions, strict=True)


def shared(texts: Texts) -> list[str]:
    """Texts, of which many are the same, each once in memory."""
    encoded = texts.array().dictionary_encode()
    each = encoded.dictionary.to_pylist()
    return [each[i] for i in encoded.indices.to_pylist()]


def _unlisted(seen: Keys, message: Message, image_id: UUID | None) -> bool:
    place = (message.partition, message.offset)
    new = place not in seen.unlisted
    seen.unlisted[place] = image_id
    return new


def _first(seen: set[Any], key: Any) -> bool:
    if key in seen:
        return False
    seen.add(key)
    return True
