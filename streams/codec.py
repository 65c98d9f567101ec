"""Records to bytes and back: Avro, decoded once, at the edge.

Two framings: Avro's single-object encoding (Avro 1.12 specification, "Single-object encoding": C3 01,
the schema's CRC-64-AVRO fingerprint, the body) and the Confluent registry's (00, the schema's id as
four big-endian bytes, the body). Writers use the second when a registry is configured; readers take both.

A detection's circles come last and are fixed-size, so `np.frombuffer` takes them as one block; an event
laid out otherwise is left to fastavro.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, get_args

import fastavro
import numpy as np
from confluent_kafka.schema_registry import Schema as RegisteredSchema
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError
from numpy.typing import NDArray

from streams.avro import FROM_AVRO, to_avro
from streams.circles import CIRCLE
from streams.detections import Detections, read
from streams.errors import InvalidRecord, RegistryUnavailable
from streams.records import CirclesDetected, Record
from streams.reevaluation import ImageAnnotated
from streams.schemas import Schema, read_schemas

RECORDS: dict[str, type[Record]] = {record.__name__: record for record in get_args(Record)}
WITH_CIRCLES = (CirclesDetected, ImageAnnotated)
SINGLE_OBJECT = b"\xc3\x01"
REGISTRY = b"\x00"


class Codec:
    """Encodes records with their newest schema; decodes any version, in either framing."""

    def __init__(self, registry: SchemaRegistryClient | None = None) -> None:
        self._registry = registry
        schemas = read_schemas()
        self._newest = {name: versions[-1] for name, versions in schemas.items()}
        self._by_fingerprint = {s.fingerprint: s for versions in schemas.values() for s in versions}
        self._by_registry_id: dict[bytes, Schema] = {}
        self._prefixes: dict[str, bytes] = {}

    @classmethod
    def from_url(cls, schema_registry_url: str) -> Codec:
        """A codec that writes the registry's framing, or single objects where the URL is empty."""
        return cls(SchemaRegistryClient({"url": schema_registry_url}) if schema_registry_url else None)

    def encode(self, record: Record) -> bytes:
        """The framed bytes of a record."""
        name = type(record).__name__
        return (self._prefixes.get(name) or self._prefix(name, self._newest[name])) + self._body(record)

    def decode(self, data: bytes | None, expected: tuple[type, ...] = ()) -> Record:
        """The record in `data`. Raises InvalidRecord, also when it is none of the `expected` types."""
        if not data:
            raise InvalidRecord("empty value; expected an Avro record")
        writer, start = self._writer(data)
        reader = self._newest.get(writer.record)
        if reader is None:
            raise InvalidRecord(f"record {writer.record!r} is unknown; known are {', '.join(RECORDS)}")
        kind = RECORDS[writer.record]
        if expected and kind not in expected:
            raise InvalidRecord(
                f"{kind.__name__} does not belong here; expected {' or '.join(e.__name__ for e in expected)}"
            )
        try:
            return _decode_body(data, start, writer, reader, kind)
        except InvalidRecord:
            raise
        except Exception as error:  # hostile bytes raise anything in a decoder; the caller keeps them
            # Without the address that fastavro names: the same bytes have the same dead letter, always.
            said = re.sub(r" from <\S+ object at \w+>", "", str(error))
            raise InvalidRecord(f"not a valid {writer.record}: {type(error).__name__}: {said}") from error

    def detections(self, values: Sequence[bytes | None]) -> tuple[Detections, dict[int, InvalidRecord]]:
        """Those messages that hold a detection, in their order; and why the others hold none, by index."""
        framed = [value or b"" for value in values]
        begin = self._bodies(framed)
        found, wrong = read(framed, begin), dict[int, InvalidRecord]()
        if found.right.all():
            return found, wrong
        for index in np.flatnonzero(~found.right).tolist():
            try:
                record = self.decode(values[index], (CirclesDetected,))
            except InvalidRecord as error:
                wrong[index] = error
            else:
                framed[index], begin[index] = self._body(record), 0
        kept = [index for index in range(len(framed)) if index not in wrong]
        found = read([framed[index] for index in kept], begin[kept], ascii_only=False)
        assert found.right.all(), "what our own writer wrote"
        return found, wrong

    def _bodies(self, values: Sequence[bytes]) -> NDArray[np.int64]:
        """Where the body of each begins that is a detection in the newest schema, -1 for others: (n,)."""
        newest = self._newest[CirclesDetected.__name__].fingerprint
        single = SINGLE_OBJECT + newest
        ids = {REGISTRY + number for number, s in self._by_registry_id.items() if s.fingerprint == newest}
        return np.array([10 if v.startswith(single) else 5 if v[:5] in ids else -1 for v in values], np.int64)

    def _body(self, record: Record) -> bytes:
        """The bytes of a record in its newest schema, without a frame."""
        body = BytesIO()
        fastavro.schemaless_writer(body, self._newest[type(record).__name__].head, to_avro(record))
        if isinstance(record, WITH_CIRCLES):
            if count := len(record.circles):
                fastavro.schemaless_writer(body, _LONG, count)
                body.write(record.circles.tobytes())
            body.write(b"\0")
        return body.getvalue()

    def _prefix(self, name: str, schema: Schema) -> bytes:
        if self._registry is None:
            prefix = SINGLE_OBJECT + schema.fingerprint
        else:
            registered = RegisteredSchema(json.dumps(schema.document), "AVRO")
            try:
                schema_id = self._registry.register_schema(f"circles.{name}", registered)
            except Exception as error:
                raise RegistryUnavailable(f"the schema registry does not take {name}: {error}") from error
            prefix = REGISTRY + schema_id.to_bytes(4, "big")
        self._prefixes[name] = prefix
        return prefix

    def _writer(self, data: bytes) -> tuple[Schema, int]:
        if data[:2] == SINGLE_OBJECT and len(data) >= 10:
            if schema := self._by_fingerprint.get(data[2:10]):
                return schema, 10
            raise InvalidRecord(
                f"unknown schema fingerprint {data[2:10].hex()}; see schemas/ for the known ones"
            )
        if data[:1] == REGISTRY and len(data) >= 5 and self._registry is not None:
            return self._registered(data[1:5]), 5
        raise InvalidRecord(
            f"unknown framing {data[:2].hex()}; expected c301 (Avro single object)"
            + (" or 00 (schema registry)" if self._registry else "; for 00 set SCHEMA_REGISTRY_URL")
        )

    def _registered(self, schema_id: bytes) -> Schema:
        if schema_id not in self._by_registry_id:
            assert self._registry is not None
            number = int.from_bytes(schema_id, "big")
            try:
                text = self._registry.get_schema(number).schema_str
            except Exception as error:  # the client lets through what its HTTP library raises
                if isinstance(error, SchemaRegistryError) and error.http_status_code == 404:
                    raise InvalidRecord(f"schema id {number} is not in the registry") from error
                raise RegistryUnavailable(f"the schema registry does not answer: {error}") from error
            try:
                self._by_registry_id[schema_id] = Schema(json.loads(text or ""))
            except Exception as error:  # anything may be registered under an id
                raise InvalidRecord(f"schema id {number} is none of an Avro record: {error}") from error
        return self._by_registry_id[schema_id]


def _decode_body(data: bytes, start: int, writer: Schema, reader: Schema, kind: type[Record]) -> Record:
    body = BytesIO(data)
    body.seek(start)
    if writer.block == CIRCLE:
        head: Any = fastavro.schemaless_reader(body, writer.head, reader.head)
        _check_ints(head, reader)
        circles = _one_block(data, body.tell())
        if circles is not None:
            assert issubclass(kind, WITH_CIRCLES)
            return kind(**head, circles=circles)
        body.seek(start)
    values: Any = fastavro.schemaless_reader(body, writer.full, reader.full)
    if body.tell() != len(data):
        raise InvalidRecord(f"{len(data) - body.tell()} bytes follow the {writer.record}")
    _check_ints(values, reader)
    return kind(**FROM_AVRO.get(kind, dict)(values))


def _check_ints(values: Mapping[str, Any], reader: Schema) -> None:
    """An Avro int has 32 bits; fastavro lets a longer varint through."""
    for name in reader.ints:
        if not -(2**31) <= values[name] < 2**31:
            raise InvalidRecord(f"not a valid {reader.record}: {name} is {values[name]}, more than 32 bits")


def _one_block(data: bytes, start: int) -> np.ndarray[Any, np.dtype[np.void]] | None:
    """The circles written as one block of Avro's array encoding, or None where they are not."""
    count, shift, at = 0, 0, start
    while True:  # Avro's zigzag varint
        byte = data[at]
        count |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
        if shift > 63:
            return None  # longer than any long
    count = (count >> 1) ^ -(count & 1)
    if count == 0:
        return np.empty(0, CIRCLE) if at == len(data) else None
    if count < 0 or len(data) != at + count * CIRCLE.itemsize + 1 or data[-1]:
        return None
    return np.frombuffer(data, CIRCLE, count, at)


_LONG = fastavro.parse_schema("long")
