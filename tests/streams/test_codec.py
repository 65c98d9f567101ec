"""Records to bytes and back, without a registry."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import Any

import fastavro
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from streams.avro import to_avro
from streams.circles import CIRCLE, Circles
from streams.codec import SINGLE_OBJECT, Codec
from streams.errors import InvalidRecord
from streams.headers import cloud_event_headers
from streams.records import CirclesDetected, ImageUploaded, Record
from streams.reevaluation import ImageAnnotated
from streams.schemas import read_schemas
from tests.examples import (
    IMAGE_ID,
    annotated,
    circles,
    detected,
    failed,
    not_replayed,
    promoted,
    replay,
    replay_changed,
    retried,
    uploaded,
    values,
)
from tests.streams.strategies import RECORDS, circle_blocks, law

CODEC = Codec()
EXAMPLES = [
    uploaded(), detected(), failed(key=b"k", headers=(("a", b"b"),)), retried(), annotated(), replay(),
    replay(images=(IMAGE_ID,)), replay_changed(), not_replayed(), promoted(),
]  # fmt: skip


def by_fastavro(record: Record) -> bytes:
    """The framed bytes, written by fastavro alone from the whole schema."""
    schema = read_schemas()[type(record).__name__][-1]
    body = io.BytesIO()
    rows = {}
    if isinstance(record, CirclesDetected | ImageAnnotated):
        names = CIRCLE.names or ()
        rows = {"circles": [dict(zip(names, row.tolist(), strict=True)) for row in record.circles]}
    fastavro.schemaless_writer(body, schema.full, to_avro(record) | rows)
    return SINGLE_OBJECT + schema.fingerprint + body.getvalue()


def long(number: int) -> bytes:
    """An Avro long."""
    zigzag = (number << 1) ^ (number >> 63)
    data = bytearray()
    while zigzag > 0x7F:
        data.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*data, zigzag])


def in_blocks(record: CirclesDetected, blocks: list[Circles], with_sizes: list[bool]) -> bytes:
    """The framed bytes with the circles in several blocks, some with a negative count and their size."""
    data = CODEC.encode(record)
    tail = long(len(record.circles)) + record.circles.tobytes() + b"\0" if len(record.circles) else b"\0"
    body = data.removesuffix(tail)
    for block, with_size in zip(blocks, with_sizes, strict=True):
        if len(block):
            count = long(-len(block)) + long(block.nbytes) if with_size else long(len(block))
            body += count + block.tobytes()
    return body + b"\0"


@law
@given(RECORDS)
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    assert values(CODEC.decode(CODEC.encode(record))) == values(record)


@law
@given(RECORDS)
def test_the_bytes_are_those_that_fastavro_writes_alone(record: Record) -> None:
    assert CODEC.encode(record) == by_fastavro(record)


@law
@given(circle_blocks(), st.lists(st.booleans(), min_size=3, max_size=3), st.data())
def test_circles_are_the_same_however_an_array_is_cut_into_blocks(
    found: Circles, with_sizes: list[bool], data: st.DataObject
) -> None:
    record = detected(circles=found)
    cuts = sorted(data.draw(st.tuples(*[st.integers(0, len(found))] * 2)))
    written = in_blocks(record, np.split(found, cuts), with_sizes)
    assert values(CODEC.decode(written)) == values(record)


def test_one_block_is_taken_as_it_lies_in_the_message() -> None:
    """Not copied: that is what makes the fold fast."""
    written = CODEC.encode(detected(circles=circles(3)))
    record = CODEC.decode(written)
    assert isinstance(record, CirclesDetected)
    assert np.shares_memory(record.circles, np.frombuffer(written, np.uint8))


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda r: type(r).__name__)
def test_a_record_cut_short_at_any_byte_is_invalid(record: Record) -> None:
    whole = CODEC.encode(record)
    for length in range(len(whole)):
        with pytest.raises(InvalidRecord):
            CODEC.decode(whole[:length])


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("rest", [b"\0", b"\2", bytes(48), bytes(100)], ids=["0", "2", "48", "100"])
def test_a_record_with_bytes_behind_it_is_invalid(record: Record, rest: bytes) -> None:
    with pytest.raises(InvalidRecord):
        CODEC.decode(CODEC.encode(record) + rest)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "empty value"),
        (b"", "empty value"),
        (b"\xc3", "unknown framing c3"),
        (b"{}", "unknown framing 7b7d"),
        (b"\0\0\0\0\1abc", "for 00 set SCHEMA_REGISTRY_URL"),
        (SINGLE_OBJECT + bytes(8) + b"abc", "unknown schema fingerprint 0000000000000000"),
    ],
)
def test_bytes_that_are_no_record_are_named(data: bytes | None, said: str) -> None:
    with pytest.raises(InvalidRecord, match=said):
        CODEC.decode(data)


def test_a_record_of_another_topic_is_invalid() -> None:
    data = CODEC.encode(uploaded())
    with pytest.raises(InvalidRecord, match="ImageUploaded does not belong here; expected CirclesDetected"):
        CODEC.decode(data, (CirclesDetected,))
    assert isinstance(CODEC.decode(data, (ImageUploaded,)), ImageUploaded)


def without_checks(record: Record, **more: Any) -> bytes:
    """A record as a careless producer may write it: on the wire an int's place holds any long."""
    schema = read_schemas()[type(record).__name__][-1]
    fields = [{**f, "type": "long"} if f["type"] == "int" else f for f in schema.document["fields"]]
    body = io.BytesIO()
    wide = fastavro.parse_schema({**schema.document, "fields": fields}, {})
    fastavro.schemaless_writer(body, wide, {"circles": []} | to_avro(record) | more)
    return SINGLE_OBJECT + schema.fingerprint + body.getvalue()


@pytest.mark.parametrize(
    "wrong",
    [{"sha256": "0" * 63}, {"sha256": "F" * 64}, {"width": 0}, {"height": -1}, {"size_bytes": 0}],
    ids=repr,
)
def test_an_upload_with_a_value_that_cannot_be_is_invalid(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord, match="not a valid ImageUploaded"):
        CODEC.decode(without_checks(uploaded(), **wrong))


@pytest.mark.parametrize("number", [2**31, 2**40, -(2**31) - 1])
@pytest.mark.parametrize(
    ("record", "field"),
    [
        (uploaded(), "width"), (uploaded(), "height"), (detected(), "source_partition"),
        (failed(), "source_partition"),
    ],
    ids=["width", "height", "detection's partition", "failure's partition"],
)  # fmt: skip
def test_a_number_too_large_for_its_column_is_invalid(record: Record, field: str, number: int) -> None:
    """It would end the fold, and again after each restart."""
    assert CODEC.decode(without_checks(record, **{field: 7}))
    with pytest.raises(InvalidRecord):
        CODEC.decode(without_checks(record, **{field: number}))


def test_a_circle_that_cannot_be_is_invalid_also_when_its_bytes_are_well_formed() -> None:
    found = circles(3)
    found["radius"][1] = np.nan
    data = CODEC.encode(detected(circles=circles(3))).replace(circles(3).tobytes(), found.tobytes())
    with pytest.raises(InvalidRecord, match="circle 1 is no circle: x=2, y=2, radius=nan"):
        CODEC.decode(data)


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda r: type(r).__name__)
def test_headers_are_those_of_the_cloud_events_kafka_binding(record: Record) -> None:
    headers = dict(cloud_event_headers(record, b"00-trace"))
    event_id = getattr(record, fields(record)[0].name)
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": str(event_id).encode(),
        "ce_type": f"circles.{type(record).__name__}".encode(),
        "ce_source": b"/circles",
        "content-type": b"application/avro",
        "traceparent": b"00-trace",
    }
    assert "traceparent" not in dict(cloud_event_headers(record))
