"""The registry's framing, and schemas other than the newest."""

from __future__ import annotations

import io
from copy import deepcopy
from typing import Any

import fastavro
import numpy as np
import orjson
import pytest
from confluent_kafka.schema_registry import Schema as RegisteredSchema
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError

from streams.avro import to_avro
from streams.circles import CIRCLE, Circles
from streams.codec import Codec
from streams.errors import InvalidRecord, RegistryUnavailable
from streams.records import CirclesDetected, Record
from streams.schemas import read_schemas
from tests.examples import circles, detected, failed, retried, uploaded, values

EVERY = [uploaded(), detected(), failed(), retried()]
DETECTED = read_schemas()["CirclesDetected"][-1].document
CIRCLES = detected(circles=circles(3))


def registry() -> SchemaRegistryClient:
    """An empty one, in memory."""
    return SchemaRegistryClient.new_client({"url": "mock://tests"})


def rows(found: Circles) -> list[dict[str, Any]]:
    return [dict(zip(CIRCLE.names or (), row.tolist(), strict=True)) for row in found]


def written(client: SchemaRegistryClient, document: dict[str, Any], record: dict[str, Any]) -> bytes:
    """A record as another writer puts it on the log, its own schema in the registry."""
    number = client.register_schema("other", RegisteredSchema(orjson.dumps(document).decode(), "AVRO"))
    body = io.BytesIO(b"\0" + number.to_bytes(4, "big"))
    body.seek(5)
    fastavro.schemaless_writer(body, fastavro.parse_schema(document, {}), record)
    return body.getvalue()


@pytest.mark.parametrize("record", EVERY, ids=lambda r: type(r).__name__)
def test_every_record_comes_back_through_a_registry(record: Record) -> None:
    client = registry()
    data = Codec(client).encode(record)
    assert data[:1] == b"\0"
    assert values(Codec(client).decode(data)) == values(record)


def test_a_schema_is_registered_under_its_records_name() -> None:
    client = registry()
    Codec(client).encode(uploaded())
    text = client.get_latest_version("circles.ImageUploaded").schema.schema_str
    assert orjson.loads(text or "") == read_schemas()["ImageUploaded"][-1].document


def test_a_reader_with_a_registry_reads_single_objects_too() -> None:
    assert values(Codec(registry()).decode(Codec().encode(uploaded()))) == values(uploaded())


def test_a_reader_without_a_registry_says_which_setting_it_needs() -> None:
    with pytest.raises(InvalidRecord, match="set SCHEMA_REGISTRY_URL"):
        Codec().decode(Codec(registry()).encode(uploaded()))


def test_an_id_that_is_not_in_the_registry_is_named() -> None:
    with pytest.raises(InvalidRecord, match="schema id 77 is not in the registry"):
        Codec(registry()).decode(b"\0\0\0\0\x4dabc")


@pytest.mark.parametrize(
    "trouble", [SchemaRegistryError(500, 50001, "backend"), ConnectionError("refused")], ids=["500", "down"]
)
def test_a_registry_in_trouble_is_no_fault_of_the_record(trouble: Exception) -> None:
    class Troubled(SchemaRegistryClient):
        def get_schema(self, *_: Any, **__: Any) -> RegisteredSchema:
            raise trouble

        def register_schema(self, *_: Any, **__: Any) -> int:
            raise trouble

    codec = Codec(Troubled({"url": "http://127.0.0.1:1"}))
    with pytest.raises(RegistryUnavailable, match=r"does not answer: .*(backend|refused)"):
        codec.decode(b"\0\0\0\0\1abc")
    with pytest.raises(RegistryUnavailable, match=r"does not take ImageUploaded: .*(backend|refused)"):
        codec.encode(uploaded())


@pytest.mark.parametrize(
    ("text", "kind"),
    [('"string"', "AVRO"), ('{"type": "object"}', "JSON"), ('syntax = "proto3";', "PROTOBUF")],
    ids=["primitive", "JSON Schema", "Protobuf"],
)
def test_a_schema_of_something_else_in_the_registry_makes_the_record_invalid(text: str, kind: str) -> None:
    client = registry()
    number = client.register_schema("theirs", RegisteredSchema(text, kind))
    with pytest.raises(InvalidRecord):
        Codec(client).decode(b"\0" + number.to_bytes(4, "big") + b"abc")


def test_a_record_that_is_not_ours_is_named() -> None:
    client = registry()
    other = {"type": "record", "name": "Invoice", "fields": [{"name": "total", "type": "int"}]}
    with pytest.raises(InvalidRecord, match="record 'Invoice' is unknown"):
        Codec(client).decode(written(client, other, {"total": 1}))


def with_a_double_a_circle(document: dict[str, Any]) -> None:
    document["fields"][-1]["type"]["items"]["fields"].insert(4, {"name": "depth", "type": "double"})


def with_the_circles_fields_in_another_order(document: dict[str, Any]) -> None:
    document["fields"][-1]["type"]["items"]["fields"].reverse()


def with_the_circles_first(document: dict[str, Any]) -> None:
    document["fields"].insert(0, document["fields"].pop())


def with_a_field_more(document: dict[str, Any]) -> None:
    document["fields"].insert(3, {"name": "note", "type": "string"})


def without_a_field_that_has_a_default(document: dict[str, Any]) -> None:
    document["fields"] = [f for f in document["fields"] if f["name"] != "project_id"]


@pytest.mark.parametrize(
    "change",
    [
        with_a_double_a_circle, with_the_circles_fields_in_another_order, with_the_circles_first,
        with_a_field_more, without_a_field_that_has_a_default,
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_detection_of_another_schema_version_has_the_same_circles(change: Any, count: int) -> None:
    client, document, found = registry(), deepcopy(DETECTED), circles(count)
    change(document)
    more = {"circles": [{**row, "depth": 7.5} for row in rows(found)], "note": "x"}
    record = Codec(client).decode(written(client, document, to_avro(CIRCLES) | more))
    assert isinstance(record, CirclesDetected)
    assert record.circles.dtype == CIRCLE
    assert np.array_equal(record.circles, found)
    assert (record.image_id, record.project_id) == (CIRCLES.image_id, "default")


def test_another_versions_bytes_behind_the_record_are_invalid() -> None:
    client, document = registry(), deepcopy(DETECTED)
    with_a_double_a_circle(document)
    data = written(client, document, to_avro(CIRCLES) | {"circles": []})
    with pytest.raises(InvalidRecord, match="1 bytes follow"):
        Codec(client).decode(data + b"x")
