"""Hostile bytes: whatever they are, they end as a record that the fold takes or as InvalidRecord."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from streams.codec import SINGLE_OBJECT, Codec
from streams.errors import InvalidRecord
from streams.records import Record
from streams.schemas import read_schemas
from streams.views import Keys, fold
from tests.examples import batch, circles, detected, failed, message, retried, uploaded, values
from tests.streams.strategies import law

CODEC = Codec()
WHOLE = [
    CODEC.encode(record)
    for record in (
        uploaded(attributes={"lane": "3"}),
        detected(),
        failed(key=b"k", value=b"v", headers=(("a", b"b"),)),
        retried(),
    )
]
PREFIXES = [SINGLE_OBJECT + schema.fingerprint for versions in read_schemas().values() for schema in versions]
often = settings(law, max_examples=150)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A record's bytes with some of them changed, put in or taken out."""
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(2, len(data)))
        end = min(len(data), start + draw(st.integers(0, 4)))
        data[start:end] = draw(st.binary(max_size=10))
    return bytes(data)


def takes(data: bytes) -> None:
    """What is decoded can be written again and folded; anything but InvalidRecord fails the test."""
    try:
        record: Record = CODEC.decode(data)
    except InvalidRecord:
        return
    assert values(CODEC.decode(CODEC.encode(record))) == values(record)
    assert fold(Keys(), batch([message(record)]))


@law
@given(st.binary(max_size=100))
def test_any_bytes_are_a_record_or_invalid(data: bytes) -> None:
    takes(data)


@often
@given(st.sampled_from(PREFIXES), st.binary(max_size=200))
@example(PREFIXES[0], b"\xff" * 200)
@example(PREFIXES[1], bytes(200))
def test_any_body_behind_a_known_fingerprint_is_a_record_or_invalid(prefix: bytes, body: bytes) -> None:
    takes(prefix + body)


@often
@given(damaged())
def test_a_damaged_record_is_a_record_or_invalid(data: bytes) -> None:
    takes(data)


class Counted(bytes):
    """Counts how often one of its bytes is looked at."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        self.looks += isinstance(place, int)
        return super().__getitem__(place)


def test_a_number_that_never_ends_is_given_up_after_the_ten_bytes_of_a_long() -> None:
    """Followed to its end, a megabyte of it would hold the fold up for most of a minute."""
    whole = CODEC.encode(detected(circles=circles(0)))
    data = Counted(whole[:-1] + b"\xff" * 5000 + b"\0")
    with pytest.raises(InvalidRecord):
        CODEC.decode(data)
    assert data.looks < 20
