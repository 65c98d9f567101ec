"""Records as fastavro reads and writes them: dicts of plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any
from uuid import UUID

import numpy as np

from streams.circles import CIRCLE
from streams.records import CirclesDetected, ImageFailed, Record
from streams.reevaluation import ImageAnnotated, ReplayRequested


def to_avro(record: Record) -> dict[str, Any]:
    """The record as fastavro writes it; circles are left out, as a block follows."""
    values = {f.name: getattr(record, f.name) for f in fields(record) if f.name != "circles"}
    if isinstance(record, ImageFailed):
        values["headers"] = [{"name": name, "value": value} for name, value in record.headers]
    if isinstance(record, ReplayRequested) and record.images is not None:
        values["images"] = [image_id.bytes for image_id in record.images]
    return values


def _circles(values: dict[str, Any]) -> dict[str, Any]:
    rows = [tuple(circle[name] for name in CIRCLE.names or ()) for circle in values["circles"]]
    return {**values, "circles": np.array(rows, CIRCLE)}


def _headers(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "headers": tuple((h["name"], h["value"]) for h in values["headers"])}


def _replay(values: dict[str, Any]) -> dict[str, Any]:
    images = values["images"]
    return {
        **values,
        "images": None if images is None else tuple(UUID(bytes=image_id) for image_id in images),
        "begins": tuple(values["begins"]),
        "ends": tuple(values["ends"]),
    }


FROM_AVRO: dict[type[Record], Callable[[dict[str, Any]], dict[str, Any]]] = {
    CirclesDetected: _circles,
    ImageAnnotated: _circles,
    ReplayRequested: _replay,
    ImageFailed: _headers,
}
