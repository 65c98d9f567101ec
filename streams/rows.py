"""Records and columns to rows of the view: Arrow tables with the names and types of `lake.sql`. Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from streams.circles import CIRCLE
from streams.detections import Detections
from streams.records import ImageUploaded, Place

Headers = tuple[tuple[str, bytes | None], ...]
UUIDS, TIME = pa.uuid(), pa.timestamp("us", tz="UTC")
TEXT, INT, LONG, DOUBLE, BYTES = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.binary()


def pack_headers(headers: Headers) -> bytes:
    """Kafka headers as they are kept in a row: JSON, values in base64."""
    return orjson.dumps(
        [[name, None if value is None else b64encode(value).decode()] for name, value in headers]
    )


def unpack_headers(packed: bytes) -> Headers:
    """What `pack_headers` was given."""
    return tuple((name, None if value is None else b64decode(value)) for name, value in orjson.loads(packed))


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind is UUIDS:
        storage = pa.array([value and value.bytes for value in values], pa.binary(16))
        return pa.ExtensionArray.from_storage(UUIDS, storage)
    return pa.array(values, kind)


def columns(records: Sequence[Any], **kinds: pa.DataType) -> pa.Table:
    """A table of the records' attributes that are named in `kinds`."""
    return pa.table({n: _array([getattr(r, n) for r in records], k) for n, k in kinds.items()})


def image_rows(images: Sequence[tuple[Place, ImageUploaded]]) -> pa.Table:
    table = columns(
        [record for _, record in images],
        image_id=UUIDS,
        project_id=TEXT,
        source_id=TEXT,
        uri=TEXT,
        sha256=TEXT,
        content_type=TEXT,
        width=INT,
        height=INT,
        size_bytes=LONG,
        captured_at=TIME,
        uploaded_at=TIME,
    )
    attributes = pa.array([orjson.dumps(r.attributes).decode() for _, r in images], TEXT)
    table = table.append_column("attributes", attributes)
    table = table.append_column("log_partition", pa.array([m.partition for m, _ in images], INT))
    return table.append_column("log_offset", pa.array([m.offset for m, _ in images], LONG))


def detection_rows(detections: Detections) -> pa.Table:
    """One row a detection."""
    return pa.table(
        {
            "image_id": uuid_block(detections.image_id),
            "project_id": detections.project_id.array(),
            "model_name": detections.model_name.array(),
            "model_version": detections.model_version.array(),
            "latency_ms": pa.array(detections.latency_ms),
            "detected_at": pa.array(detections.detected_at).view(TIME),
            "replay_id": uuid_block(detections.replay_id, ~detections.replayed),
            "source_partition": pa.array(detections.source_partition.astype(np.int32)),
            "source_offset": pa.array(detections.source_offset),
            "circle_count": pa.array(detections.count.astype(np.int32)),
        }
    )


def object_rows(detections: Detections, new: NDArray[np.bool_]) -> pa.Table:
    """One row a circle of those detections that are new, (n,): ids and model repeated."""
    circles = detections.circles[np.repeat(new, detections.count)]
    rows = np.repeat(np.arange(len(new)), np.where(new, detections.count, 0))
    columns = {
        "image_id": uuid_block(detections.image_id[rows]),
        "object_id": uuid_block(np.ascontiguousarray(circles["object_id"])),
        "model_name": detections.model_name.array().take(pa.array(rows)),
        "model_version": detections.model_version.array().take(pa.array(rows)),
    }
    numbers = {n: pa.array(np.ascontiguousarray(circles[n])) for n in (CIRCLE.names or ())[1:]}
    return pa.table(columns | numbers)


def uuid_block(ids: NDArray[np.void], absent: NDArray[np.bool_] | None = None) -> pa.Array:
    """ids: (n,) V16; absent: which are null."""
    valid = None if absent is None else pa.array(~absent).buffers()[1]
    storage = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ids), [valid, pa.py_buffer(ids)])
    return pa.ExtensionArray.from_storage(UUIDS, storage)


def unlisted_rows(unlisted: Sequence[tuple[Place, UUID | None]]) -> pa.Table:
    """Uploads without a row of their own in `images`, each with its image where it has one."""
    return pa.table(
        {
            "log_partition": pa.array([place.partition for place, _ in unlisted], INT),
            "log_offset": pa.array([place.offset for place, _ in unlisted], LONG),
            "image_id": _array([image_id for _, image_id in unlisted], UUIDS),
        }
    )
