"""The Avro schemas in `schemas/`, ready to write with and to read from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import fastavro
import numpy as np
from fastavro.schema import fingerprint, to_parsing_canonical_form


class Schema:
    """One version of a record's schema, ready to write with and to read from."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)
        self.record = str(document["name"])
        self.full = fastavro.parse_schema(self.document, {})
        canonical = to_parsing_canonical_form(self.document)
        self.fingerprint = bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
        self.block = block_dtype(self.document)
        self.ints = [f["name"] for f in self.document["fields"] if f["type"] == "int"]
        head = {**self.document, "fields": self.document["fields"][:-1]} if self.block else self.document
        self.head = fastavro.parse_schema(head, {})


def block_dtype(document: Mapping[str, Any]) -> np.dtype[np.void] | None:
    """The numpy layout of a record's last field where that is an array of fixed-size records, else None."""
    last = document["fields"][-1]["type"]
    if not (isinstance(last, dict) and last["type"] == "array" and isinstance(last["items"], dict)):
        return None
    formats = {"float": "<f4", "double": "<f8"}
    columns = []
    for column in last["items"].get("fields", []):
        kind = column["type"]
        if isinstance(kind, dict) and kind["type"] == "fixed":
            columns.append((column["name"], f"V{kind['size']}"))
        elif isinstance(kind, str) and kind in formats:
            columns.append((column["name"], formats[kind]))
        else:
            return None
    return np.dtype(columns) if columns else None


def read_schemas() -> dict[str, list[Schema]]:
    """Every schema in `schemas/`, by record, oldest version first."""
    versions: dict[str, list[tuple[int, Schema]]] = {}
    for path in files("schemas").iterdir():
        if path.name.endswith(".avsc"):
            schema = Schema(json.loads(path.read_text()))
            version = int(path.name.split(".")[1].removeprefix("v"))
            versions.setdefault(schema.record, []).append((version, schema))
    return {
        name: [schema for _, schema in sorted(found, key=lambda v: v[0])] for name, found in versions.items()
    }
