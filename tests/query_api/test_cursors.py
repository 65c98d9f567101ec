"""Cursors of pages: opaque, and refused when they are not ours."""

from __future__ import annotations

import base64
from datetime import datetime
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given

from query_api.errors import Problem
from query_api.images import _cursor, _read_cursor
from tests.examples import IMAGE_ID, MOMENT
from tests.streams.strategies import TIMES, law


def encoded(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode()


@law
@given(TIMES, st.uuids())
def test_a_cursor_says_where_its_page_ended(moment: datetime, image_id: UUID) -> None:
    assert _read_cursor(_cursor({"uploaded_at": moment, "image_id": image_id})) == (moment, image_id)


def test_a_cursor_needs_no_escapes_in_a_url() -> None:
    cursor = _cursor({"uploaded_at": MOMENT, "image_id": IMAGE_ID})
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")


def test_no_cursor_is_the_first_page() -> None:
    assert _read_cursor("") == (None, None)


@pytest.mark.parametrize(
    "cursor",
    [
        "x", "====", "\u200b", "/../etc", encoded("a b"), encoded(f"{MOMENT.isoformat()}"),
        encoded(f"{MOMENT.isoformat()} 1"), encoded(f"yesterday {IMAGE_ID}"),
        encoded(f"{MOMENT.isoformat()} {IMAGE_ID} more"), base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)  # fmt: skip
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(Problem, match="cursor is none that this API gave") as raised:
        _read_cursor(cursor)
    assert raised.value.status == 400


@law
@given(st.text(max_size=40) | st.text(max_size=40).map(encoded) | st.binary(max_size=40).map(bytes.hex))
def test_any_text_is_a_place_or_refused(cursor: str) -> None:
    try:
        moment, image_id = _read_cursor(cursor)
    except Problem:
        return
    assert (moment is None) == (image_id is None)
