"""The schemas as files, and the records of their examples."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

import schemas
from streams.circles import CIRCLE
from streams.codec import RECORDS
from streams.records import Record

FOLDER = Path(schemas.__file__).parent
FILES = sorted(FOLDER.glob("*.avsc"))


@cache
def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def versions() -> dict[str, list[Path]]:
    """A record's schema files, oldest first."""
    found: dict[str, list[Path]] = {}
    for path in sorted(FILES, key=lambda p: int(p.suffixes[0].removeprefix(".v"))):
        found.setdefault(path.name.split(".")[0], []).append(path)
    return found


def example_of(path: Path) -> dict[str, Any]:
    """The example beside a schema, with the Python values that its fields stand for.

    JSON has no bytes, ids or times: bytes are in base64, the others in their usual text.
    """
    written = json.loads(path.with_suffix("").with_suffix(path.suffixes[0] + ".example.json").read_text())
    found: dict[str, Any] = as_python(written, document(path))
    return found


def as_python(value: Any, kind: Any) -> Any:
    if isinstance(kind, list):
        return None if value is None else as_python(value, next(k for k in kind if k != "null"))
    if kind == "bytes":
        return b64decode(value, validate=True)
    if not isinstance(kind, dict):
        return value
    if kind["type"] == "record":
        assert value.keys() == {field["name"] for field in kind["fields"]}
        return {field["name"]: as_python(value[field["name"]], field["type"]) for field in kind["fields"]}
    if kind["type"] == "array":
        return [as_python(item, kind["items"]) for item in value]
    if kind["type"] == "fixed":
        return UUID(value).bytes
    if kind.get("logicalType") == "uuid":
        return UUID(value)
    if kind.get("logicalType") == "timestamp-micros":
        return datetime.fromisoformat(value)
    return value


def record_of(path: Path) -> Record:
    """The example as the record that it is on the log."""
    values = example_of(path)
    if "circles" in values:
        values["circles"] = np.array([tuple(circle.values()) for circle in values["circles"]], CIRCLE)
    if "headers" in values:
        values["headers"] = tuple((header["name"], header["value"]) for header in values["headers"])
    values |= {name: tuple(values[name]) for name in ("begins", "ends") if name in values}
    return RECORDS[document(path)["name"]](**values)
