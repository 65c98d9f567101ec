"""Records that become one row each, once by an id of their own: all but uploads and detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pyarrow as pa

from streams.circles import CIRCLE
from streams.records import DeadLetterRetried, ImageFailed, Place, Record
from streams.reevaluation import (
    ImageAnnotated,
    ImageNotReplayed,
    ModelPromoted,
    ReplayChanged,
    ReplayRequested,
)
from streams.rows import BYTES, DOUBLE, INT, LONG, TEXT, TIME, UUIDS, columns, pack_headers, uuid_block

Placed = Sequence[tuple[Place, Any]]
"""Records, each with where it is on the log."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a kind of record is kept. id: the column of what `records.id_of` gives."""

    table: str
    id: str
    columns: dict[str, pa.DataType]
    """Those that have the record's own values."""
    more: Callable[[Placed], dict[str, pa.Array]] = lambda _: {}
    """Further columns."""

    def rows(self, records: Placed) -> pa.Table:
        table = columns([record for _, record in records], **self.columns)
        for name, values in self.more(records).items():
            table = table.append_column(name, values)
        return table


def _failure(records: Placed) -> dict[str, pa.Array]:
    failures: list[ImageFailed] = [record for _, record in records]
    return {
        "message_key": pa.array([f.key for f in failures], BYTES),
        "message_value": pa.array([f.value for f in failures], BYTES),
        "headers": pa.array([pack_headers(f.headers) for f in failures], BYTES),
    }


def _replay(records: Placed) -> dict[str, pa.Array]:
    replays: list[ReplayRequested] = [record for _, record in records]
    named = [None if r.images is None else orjson.dumps(r.images).decode() for r in replays]
    return {
        "images": pa.array(named, TEXT),
        "begins": pa.array([orjson.dumps(r.begins).decode() for r in replays], TEXT),
        "ends": pa.array([orjson.dumps(r.ends).decode() for r in replays], TEXT),
    }


def _annotation(records: Placed) -> dict[str, pa.Array]:
    return {"circle_count": pa.array([len(r.circles) for _, r in records], INT), **_offset(records)}


def _offset(records: Placed) -> dict[str, pa.Array]:
    """What orders those with one key, which are on one partition."""
    return {"log_offset": pa.array([place.offset for place, _ in records], LONG)}


KEPT: dict[type[Record], Kept] = {
    ImageFailed: Kept(
        "failures",
        "dead_letter_id",
        {
            "dead_letter_id": UUIDS,
            "image_id": UUIDS,
            "project_id": TEXT,
            "stage": TEXT,
            "error": TEXT,
            "reason": TEXT,
            "source_topic": TEXT,
            "source_partition": INT,
            "source_offset": LONG,
            "failed_at": TIME,
        },
        _failure,
    ),
    DeadLetterRetried: Kept(
        "retries", "dead_letter_id", {"dead_letter_id": UUIDS, "image_id": UUIDS, "retried_at": TIME}
    ),
    ImageAnnotated: Kept(
        "annotations",
        "annotation_id",
        {
            "annotation_id": UUIDS,
            "image_id": UUIDS,
            "project_id": TEXT,
            "annotator": TEXT,
            "annotated_at": TIME,
            "model_name": TEXT,
            "model_version": TEXT,
            "drawn_as": TEXT,
        },
        _annotation,
    ),
    ReplayRequested: Kept(
        "replays",
        "replay_id",
        {
            "replay_id": UUIDS,
            "model_name": TEXT,
            "model_version": TEXT,
            "project_id": TEXT,
            "source_id": TEXT,
            "since": TIME,
            "until": TIME,
            "sample": LONG,
            "share": DOUBLE,
            "annotated": pa.bool_(),
            "follow": pa.bool_(),
            "calls_at_once": INT,
            "requested_by": TEXT,
            "requested_at": TIME,
        },
        _replay,
    ),
    ReplayChanged: Kept(
        "replay_changes",
        "change_id",
        {
            "change_id": UUIDS,
            "replay_id": UUIDS,
            "state": TEXT,
            "changed_by": TEXT,
            "changed_at": TIME,
        },
        _offset,
    ),
    ImageNotReplayed: Kept(
        "not_replayed",
        "event_id",
        {
            "event_id": UUIDS,
            "replay_id": UUIDS,
            "image_id": UUIDS,
            "error": TEXT,
            "reason": TEXT,
            "source_partition": INT,
            "source_offset": LONG,
            "failed_at": TIME,
        },
    ),
    ModelPromoted: Kept(
        "promotions",
        "promotion_id",
        {
            "promotion_id": UUIDS,
            "model_name": TEXT,
            "model_version": TEXT,
            "previous_name": TEXT,
            "previous_version": TEXT,
            "back": pa.bool_(),
            "evidence": TEXT,
            "promoted_by": TEXT,
            "promoted_at": TIME,
        },
        _offset,
    ),
}
BY_TABLE = {kept.table: kept for kept in KEPT.values()}


def rows(records: Placed) -> dict[str, pa.Table]:
    """Rows by table; the circles of annotations have a table of their own."""
    by_kind: dict[type[Record], list[tuple[Place, Any]]] = {}
    for place, record in records:
        by_kind.setdefault(type(record), []).append((place, record))
    tables = {KEPT[kind].table: KEPT[kind].rows(found) for kind, found in by_kind.items()}
    if annotations := by_kind.get(ImageAnnotated):
        tables["annotated"] = annotated_rows([record for _, record in annotations])
    return tables


def annotated_rows(annotations: Sequence[ImageAnnotated]) -> pa.Table:
    """One row a circle."""
    circles = np.concatenate([annotation.circles for annotation in annotations])
    counts = [len(annotation.circles) for annotation in annotations]

    def repeated(ids: Sequence[UUID]) -> pa.Array:
        return uuid_block(np.repeat(np.array([i.bytes for i in ids], "V16"), counts))

    found = {
        "annotation_id": repeated([annotation.annotation_id for annotation in annotations]),
        "image_id": repeated([annotation.image_id for annotation in annotations]),
        "object_id": uuid_block(np.ascontiguousarray(circles["object_id"])),
    }
    numbers = [name for name in (CIRCLE.names or ())[1:] if name != "score"]
    return pa.table(found | {n: pa.array(np.ascontiguousarray(circles[n])) for n in numbers})
