"""The fold: messages of the log to rows of the view. Pure: no clock, no I/O, no logging.

Laws, held by tests: any cut of a log into batches gives the same rows; folding any part again adds none.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from streams.columns import Texts
from streams.detections import Detections
from streams.errors import InvalidRecord
from streams.records import (
    CIRCLE,
    DeadLetterRetried,
    ImageFailed,
    ImageUploaded,
    Record,
    dead_letter,
    dead_letter_id,
)
from streams.topics import UPLOADED

STAGE = "materialize"
Headers = tuple[tuple[str, bytes | None], ...]
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
    """What a part of the log says: its detections, and all other messages."""

    messages: Sequence[Message]
    detections: Detections


@dataclass(slots=True)
class Keys:
    """Keys of rows: those a batch may add, or those of them that the view already has."""

    images: set[UUID] = field(default_factory=set)
    detections: set[Detected] = field(default_factory=set)
    failures: set[UUID] = field(default_factory=set)
    retries: set[UUID] = field(default_factory=set)


def fold(known: Keys, batch: Batch) -> Rows:
    """The rows that a batch adds to a view which has `known`; a key's first message wins.

    Bytes on `images.uploaded` that are no record are left to the detect stage, which reads the same
    topic and sends their dead letter; on any other topic they become a failure here.
    """
    images: list[tuple[Message, ImageUploaded]] = []
    failures: list[ImageFailed] = []
    retries: list[DeadLetterRetried] = []
    seen = Keys(set(known.images), set(known.detections), set(known.failures), set(known.retries))
    for message in batch.messages:
        record = message.record
        if isinstance(record, InvalidRecord):
            if message.topic == UPLOADED.name:
                continue
            record = dead_letter(STAGE, message, message.headers, record, message.timestamp)
        if isinstance(record, ImageUploaded):
            if _first(seen.images, record.image_id):
                images.append((message, record))
        elif isinstance(record, ImageFailed):
            if _first(seen.failures, record.dead_letter_id):
                failures.append(record)
        elif isinstance(record, DeadLetterRetried):
            if _first(seen.retries, record.dead_letter_id):
                retries.append(record)
        else:
            raise TypeError("a detection comes in the batch's columns, not as a message")
    new = np.array([_first(seen.detections, key) for key in _detected(batch.detections)], bool)
    tables = {
        "images": _image_rows(images),
        "detections": _detection_rows(batch.detections).filter(new),
        "objects": _object_rows(batch.detections, new),
        "failures": _failure_rows(failures),
        "retries": _columns(retries, dead_letter_id=_UUID, image_id=_UUID, retried_at=_TIME),
    }
    return {name: rows for name, rows in tables.items() if rows.num_rows}


def keys(batch: Batch) -> Keys:
    """The keys of all rows that a batch might add."""
    found = Keys(detections=set(_detected(batch.detections)))
    for message in batch.messages:
        record = message.record
        if isinstance(record, ImageUploaded):
            found.images.add(record.image_id)
        elif isinstance(record, DeadLetterRetried):
            found.retries.add(record.dead_letter_id)
        elif isinstance(record, ImageFailed):
            found.failures.add(record.dead_letter_id)
        elif isinstance(record, InvalidRecord):
            found.failures.add(dead_letter_id(STAGE, message.topic, message.partition, message.offset))
    return found


def _detected(detections: Detections) -> Iterator[Detected]:
    names, versions = shared(detections.model_name), shared(detections.model_version)
    return zip(detections.image_id.tolist(), names, versions, strict=True)


def shared(texts: Texts) -> list[str]:
    """Texts, of which many are the same, each once in memory."""
    encoded = texts.array().dictionary_encode()
    each = encoded.dictionary.to_pylist()
    return [each[i] for i in encoded.indices.to_pylist()]


def pack_headers(headers: Headers) -> bytes:
    """Kafka headers as they are kept in a row: JSON, values in base64."""
    return orjson.dumps(
        [[name, None if value is None else b64encode(value).decode()] for name, value in headers]
    )


def unpack_headers(packed: bytes) -> Headers:
    """What `pack_headers` was given."""
    return tuple((name, None if value is None else b64decode(value)) for name, value in orjson.loads(packed))


def _first(seen: set[Any], key: Any) -> bool:
    if key in seen:
        return False
    seen.add(key)
    return True


_UUID, _TIME = pa.uuid(), pa.timestamp("us", tz="UTC")
_TEXT, _INT, _LONG, _BYTES = pa.string(), pa.int32(), pa.int64(), pa.binary()


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind is _UUID:
        storage = pa.array([value and value.bytes for value in values], pa.binary(16))
        return pa.ExtensionArray.from_storage(_UUID, storage)
    return pa.array(values, kind)


def _columns(records: Sequence[Any], **kinds: pa.DataType) -> pa.Table:
    """A table of the records' attributes that are named in `kinds`."""
    return pa.table({n: _array([getattr(r, n) for r in records], k) for n, k in kinds.items()})


def _image_rows(images: Sequence[tuple[Message, ImageUploaded]]) -> pa.Table:
    table = _columns(
        [record for _, record in images],
        image_id=_UUID,
        project_id=_TEXT,
        source_id=_TEXT,
        uri=_TEXT,
        sha256=_TEXT,
        content_type=_TEXT,
        width=_INT,
        height=_INT,
        size_bytes=_LONG,
        captured_at=_TIME,
        uploaded_at=_TIME,
    )
    attributes = pa.array([orjson.dumps(r.attributes).decode() for _, r in images], _TEXT)
    table = table.append_column("attributes", attributes)
    table = table.append_column("log_partition", pa.array([m.partition for m, _ in images], _INT))
    return table.append_column("log_offset", pa.array([m.offset for m, _ in images], _LONG))


def _detection_rows(detections: Detections) -> pa.Table:
    """One row a detection."""
    return pa.table(
        {
            "image_id": _uuid_block(detections.image_id),
            "project_id": detections.project_id.array(),
            "model_name": detections.model_name.array(),
            "model_version": detections.model_version.array(),
            "latency_ms": pa.array(detections.latency_ms),
            "detected_at": pa.array(detections.detected_at).view(_TIME),
            "replay_id": _uuid_block(detections.replay_id, ~detections.replayed),
            "source_partition": pa.array(detections.source_partition.astype(np.int32)),
            "source_offset": pa.array(detections.source_offset),
            "circle_count": pa.array(detections.count.astype(np.int32)),
        }
    )


def _object_rows(detections: Detections, new: NDArray[np.bool_]) -> pa.Table:
    """One row a circle of those detections that are new, (n,): ids and model repeated."""
    circles = detections.circles[np.repeat(new, detections.count)]
    rows = np.repeat(np.arange(len(new)), np.where(new, detections.count, 0))
    columns = {
        "image_id": _uuid_block(detections.image_id[rows]),
        "object_id": _uuid_block(np.ascontiguousarray(circles["object_id"])),
        "model_name": detections.model_name.array().take(pa.array(rows)),
        "model_version": detections.model_version.array().take(pa.array(rows)),
    }
    numbers = {n: pa.array(np.ascontiguousarray(circles[n])) for n in (CIRCLE.names or ())[1:]}
    return pa.table(columns | numbers)


def _uuid_block(ids: NDArray[np.void], absent: NDArray[np.bool_] | None = None) -> pa.Array:
    """ids: (n,) V16; absent: which are null."""
    valid = None if absent is None else pa.array(~absent).buffers()[1]
    storage = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ids), [valid, pa.py_buffer(ids)])
    return pa.ExtensionArray.from_storage(_UUID, storage)


def _failure_rows(failures: Sequence[ImageFailed]) -> pa.Table:
    table = _columns(
        failures,
        dead_letter_id=_UUID,
        image_id=_UUID,
        project_id=_TEXT,
        stage=_TEXT,
        error=_TEXT,
        reason=_TEXT,
        source_topic=_TEXT,
        source_partition=_INT,
        source_offset=_LONG,
        key=_BYTES,
        value=_BYTES,
        failed_at=_TIME,
    )
    table = table.rename_columns({"key": "message_key", "value": "message_value"})
    return table.append_column("headers", pa.array([pack_headers(f.headers) for f in failures], _BYTES))
