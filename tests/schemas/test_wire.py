"""Bytes on the log, against the Avro project's own package: another implementation of the same standard."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import avro.schema
import pytest
from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter

from streams.codec import SINGLE_OBJECT, Codec
from tests.examples import values
from tests.schemas.examples import FILES, example_of, record_of

every_schema = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def facts(path: Path) -> dict[str, Any]:
    """A schema's example as that package has it: ids are texts."""
    return {n: str(v) if isinstance(v, UUID) else v for n, v in example_of(path).items()}


def written(path: Path) -> bytes:
    """The body of a schema's example, by the Avro project's package."""
    body = io.BytesIO()
    schema = avro.schema.parse(path.read_text())
    DatumWriter(schema).write(facts(path), BinaryEncoder(body))
    return body.getvalue()


def crc_64_avro(data: bytes) -> int:
    """The fingerprint of Avro 1.12's specification, "Schema Fingerprints"."""
    empty = 0xC15D213AA4D7A795
    fingerprint = empty
    for byte in data:
        low = (fingerprint ^ byte) & 0xFF
        for _ in range(8):
            low = low >> 1 ^ (empty if low & 1 else 0)
        fingerprint = fingerprint >> 8 ^ low
    return fingerprint


def canonical(path: Path) -> str:
    """The schema's Parsing Canonical Form, by the Avro project's package.

    It leaves out [PRIMITIVES], which the specification asks for: `{"type":"string"}` becomes `"string"`.
    """
    form: str = avro.schema.parse(path.read_text()).canonical_form
    return re.sub(r'\{"type":("(?:string|long|int|float|bytes)")\}', r"\1", form)


@every_schema
def test_the_body_is_what_the_avro_package_writes(path: Path) -> None:
    assert Codec().encode(record_of(path))[10:] == written(path)


@every_schema
def test_the_avro_package_reads_what_we_write(path: Path) -> None:
    body = io.BytesIO(Codec().encode(record_of(path))[10:])
    schema = avro.schema.parse(path.read_text())
    found: Any = DatumReader(schema).read(BinaryDecoder(body))
    assert found == facts(path)
    assert body.read() == b""


@every_schema
def test_we_read_what_the_avro_package_writes(path: Path) -> None:
    framing = Codec().encode(record_of(path))[:10]
    assert values(Codec().decode(framing + written(path))) == values(record_of(path))


def test_the_fingerprint_is_that_of_the_specifications_example() -> None:
    assert crc_64_avro(b'"int"') == 0x7275D51A3F395C8F


@every_schema
def test_the_framing_is_the_marker_and_the_little_endian_fingerprint_of_the_schema(path: Path) -> None:
    fingerprint = crc_64_avro(canonical(path).encode())
    assert Codec().encode(record_of(path))[:10] == SINGLE_OBJECT + fingerprint.to_bytes(8, "little")
