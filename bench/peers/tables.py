"""What the peers share, so that they write the same rows: fastavro, Arrow, two tables of a .duckdb file.

They commit rows and nothing else: no duplicate is recognised, no offset fenced.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.compute as pc

FRAME = 10
"""Bytes of Avro's single-object frame, before the body."""
SCHEMA = Path(__file__).parents[2] / "schemas" / "CirclesDetected.v1.avsc"
_NUMBERS = ("x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max")
_CIRCLES = pa.list_(pa.struct([("object_id", pa.binary(16)), *((name, pa.float32()) for name in _NUMBERS)]))
_OTHERS = pa.schema(
    {
        "project_id": pa.string(),
        "model_name": pa.string(),
        "model_version": pa.string(),
        "latency_ms": pa.float32(),
        "detected_at": pa.timestamp("us", "UTC"),
        "replay_id": pa.string(),
        "source_partition": pa.int32(),
        "source_offset": pa.int64(),
    }
)


def schema() -> Any:
    """The schema of `CirclesDetected`, parsed, without its logical types.

    fastavro then leaves ids as text and times as numbers, in little more than half the time.
    """
    return fastavro.parse_schema(_plain(json.loads(SCHEMA.read_text())))


def rows(detections: Sequence[Any]) -> dict[str, pa.Table]:
    """Decoded messages as rows of `detections` and `objects`, columns by the names of `lake.sql`."""
    nested = pa.array([detection["circles"] for detection in detections], _CIRCLES)
    circles, of = nested.flatten(), pc.list_parent_indices(nested)
    others = pa.Table.from_pylist(detections, _OTHERS)
    # As 16 bytes: DuckDB would parse the text once for each circle.
    texts = [detection["image_id"] for detection in detections]
    ids = pa.array([bytes.fromhex(text.replace("-", "")) for text in texts], pa.binary(16))
    counts = {"image_id": _uuids(ids), "circle_count": pc.list_value_length(nested)}
    objects = {
        "image_id": _uuids(ids.take(of)),
        "object_id": _uuids(circles.field("object_id")),
        **{name: others[name].take(of) for name in ("model_name", "model_version")},
        **{name: circles.field(name) for name in _NUMBERS},
    }
    columns = dict(zip(others.column_names, others.columns, strict=True))
    return {"detections": pa.table(counts | columns), "objects": pa.table(objects)}


class Tables:
    """The tables in `file`, and a file of marks: the time and the events so far, a line for each commit.

    Its first line is of the time when the first message came.
    """

    def __init__(self, file: Path, marks: Path) -> None:
        """Raises FileExistsError where a process was started again: its figures would be worth nothing."""
        self._lake = duckdb.connect()
        self._lake.execute(f"ATTACH '{file}' AS lake")
        self._marks = marks.open("x", buffering=1)
        self._events = 0
        self._schema = schema()
        self.begun = False

    def close(self) -> None:
        self._lake.close()
        self._marks.close()

    def begin(self) -> None:
        """The first message came."""
        self.begun = True
        self._mark()

    def decode(self, value: bytes) -> Any:
        """The fields of one message."""
        if not self.begun:
            self.begin()
        return fastavro.schemaless_reader(BytesIO(value[FRAME:]), self._schema, None)

    def write(self, detections: Sequence[Any]) -> None:
        """Commit decoded messages in one transaction. Raises duckdb.Error."""
        self._lake.execute("BEGIN")
        for table, batch in rows(detections).items():
            self._lake.register("batch", batch)
            self._lake.execute(f"INSERT INTO lake.{table} BY NAME SELECT * FROM batch")  # noqa: S608 our names
            self._lake.unregister("batch")
        self._lake.execute("COMMIT")
        self._events += len(detections)
        self._mark()

    def _mark(self) -> None:
        self._marks.write(f"{time.time()} {self._events}\n")


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema


def _uuids(ids: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.uuid(), ids)
