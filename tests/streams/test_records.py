"""The records themselves: what they refuse, and ids that are equal at every redelivery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from streams.circles import CIRCLE, invalid_circles, object_ids
from streams.codec import Codec
from streams.errors import InvalidRecord
from streams.records import MOST_KEPT_BYTES, Record, dead_letter, dead_letter_id, image_id_of, key_of
from streams.topics import FAILED
from tests.examples import (
    IMAGE_ID,
    MOMENT,
    circles,
    detected,
    failed,
    message,
    promoted,
    replay,
    retried,
    uploaded,
)  # fmt: skip
from tests.streams.strategies import law


def test_a_circle_is_48_bytes_in_avros_order_of_its_fields() -> None:
    assert CIRCLE.itemsize == 48
    assert CIRCLE.names == ("object_id", "x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max")


@pytest.mark.parametrize("count", [0, 1, 100])
def test_a_detection_has_any_number_of_circles(count: int) -> None:
    assert invalid_circles(circles(count)) == ""
    assert len(detected(circles=circles(count)).circles) == count


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, bad) for name in (CIRCLE.names or ())[1:] for bad in (np.nan, np.inf, -np.inf)),
        ("radius", 0), ("radius", -1), ("score", -0.01), ("score", 1.01), ("score", 2),
        ("x_min", 6), ("x_max", 0), ("y_min", 6), ("y_max", 0), ("y_max", -1),
    ],
)  # fmt: skip
def test_the_first_circle_that_cannot_be_is_named(field: str, value: float) -> None:
    found = circles(4)
    found[field][2:] = value
    assert invalid_circles(found).startswith("circle 2 is no circle: ")
    assert f"{field}={value:g}" in invalid_circles(found)
    with pytest.raises(ValueError, match="circle 2 is no circle"):
        detected(circles=found)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sha256": ""}, "sha256 must be 64 lower-case hex digits, not ''"),
        ({"sha256": "A" * 64}, "sha256 must be"),
        ({"sha256": "0" * 64 + "\n"}, "sha256 must be"),
        ({"content_type": "text/html"}, "content_type must be one of image/jpeg, image/png, image/webp"),
        ({"project_id": "x" * 100_001}, "all texts together may have 100000 characters"),
        ({"width": 0}, "width must be above 0 and below 2147483648, not 0"),
        ({"height": -1}, "height must be above 0 .*, not -1"),
        ({"size_bytes": 0}, "size_bytes must be above 0 .*, not 0"),
    ],
)
def test_an_upload_that_cannot_be_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        uploaded(**wrong)


@law
@given(st.uuids(), st.text(max_size=5), st.text(max_size=5), st.integers(0, 20))
def test_a_circles_id_is_the_same_at_every_redelivery_and_its_own(
    image_id: UUID, name: str, version: str, count: int
) -> None:
    ids = object_ids(image_id, name, version, count)
    assert ids == object_ids(image_id, name, version, count + 5)[:count]
    others = object_ids(image_id, name, version + "x", count) + object_ids(UUID(int=0), name, version, count)
    assert len({*ids, *others}) == 3 * count or image_id == UUID(int=0)


def test_ids_stay_what_they_were_in_earlier_releases() -> None:
    """The log holds them for good."""
    assert object_ids(IMAGE_ID, "circles", "1", 1) == [UUID("0ead3c4a-8324-5cf9-971c-44fde14674c8")]
    assert dead_letter_id("detect", "t", 4, 1207) == UUID("28d86335-d3af-54a1-97a9-95ae490ad431")


def test_a_dead_letters_id_is_its_own_for_each_stage_topic_partition_and_offset() -> None:
    places = [(s, t, p, o) for s in ("a", "b") for t in ("t", "u") for p in (0, 1) for o in (0, 1, 10)]
    assert len({dead_letter_id(*place) for place in places}) == len(places)


def test_the_key_is_the_images_id_or_the_dead_letters_where_there_is_no_image() -> None:
    key = str(IMAGE_ID).encode()
    letter = str(failed().dead_letter_id).encode()
    assert key_of(uploaded()) == key_of(detected()) == key_of(failed(image_id=IMAGE_ID)) == key
    assert key_of(retried(image_id=IMAGE_ID)) == key
    assert key_of(failed()) == key_of(retried()) == letter


@pytest.mark.parametrize("key", [None, b"", b"1", b"\xff\xfe", b"lane 3", IMAGE_ID.bytes], ids=repr)
def test_a_key_that_names_no_image_names_none(key: bytes | None) -> None:
    assert image_id_of(key) is None
    assert image_id_of(key_of(uploaded())) == IMAGE_ID


def test_a_dead_letter_fits_its_topic_whatever_the_message_and_the_error() -> None:
    for size in (0, MOST_KEPT_BYTES, MOST_KEPT_BYTES + 1, 50_000_000):
        sent = replace(message(uploaded()), value=bytes(size))
        letter = dead_letter("detect", sent, (), InvalidRecord("x" * 5_000_000), MOMENT)
        assert len(Codec().encode(letter)) < FAILED.max_message_bytes - 100_000
        assert (letter.value == sent.value) == (size <= MOST_KEPT_BYTES)
        assert ("are too many to keep" in letter.reason) == (size > MOST_KEPT_BYTES)


@pytest.mark.parametrize("make", [replay, promoted])
@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("2+min_score=.5", "is spelled circles:2"),
        ("2+score=1", "there is no parameter 'score'"),
        ("", "NAME:VER"),
    ],
)
def test_a_version_that_is_asked_for_has_its_one_spelling(
    make: Callable[..., Record], version: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        make(model_version=version)
