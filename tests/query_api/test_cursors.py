"""Cursors: opaque, signed, and refused where they are not of this list, order and project."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given

from query_api.errors import Problem
from query_api.sorting import CIRCLES, IMAGES, Cursors
from streams.ingest.claims import claims_pool
from tests.examples import IMAGE_ID, MOMENT
from tests.lakes import fresh
from tests.streams.strategies import TIMES, law

CURSORS = Cursors(b"a key")
NEWEST = IMAGES["newest"]
ROW = {"uploaded_at": MOMENT, "image_id": IMAGE_ID, "circle_count": 3}


@law
@given(TIMES, st.uuids())
def test_a_cursor_says_where_its_page_ended(moment: datetime, image_id: UUID) -> None:
    cursor = CURSORS.after({"uploaded_at": moment, "image_id": image_id}, NEWEST, "p")
    assert CURSORS.read(cursor, NEWEST, "p") == {"k0": moment, "k1": image_id}


@law
@given(st.floats(0, 1e6, width=32), st.uuids())
def test_numbers_come_back_as_they_were(radius: float, object_id: UUID) -> None:
    cursor = CURSORS.after({"radius": radius, "object_id": object_id}, CIRCLES["largest"], "")
    assert CURSORS.read(cursor, CIRCLES["largest"], "") == {"k0": radius, "k1": object_id}


def test_a_cursor_needs_no_escapes_in_a_url() -> None:
    cursor = CURSORS.after(ROW, NEWEST, "p")
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_each_process_takes_the_cursors_of_the_others_and_nobody_elses() -> None:
    cursor = CURSORS.after(ROW, NEWEST, "p")
    assert Cursors(b"a key").read(cursor, NEWEST, "p") == {"k0": MOMENT, "k1": IMAGE_ID}
    for other, order, scope in (
        (Cursors(b"another"), NEWEST, "p"),
        (CURSORS, IMAGES["oldest"], "p"),
        (CURSORS, IMAGES["most-circles"], "p"),
        (CURSORS, NEWEST, "another project"),
    ):
        with pytest.raises(Problem, match="cursor is none that this API gave") as refused:
            other.read(cursor, order, scope)
        assert refused.value.status == 400


def test_processes_that_start_together_share_one_key(postgres: str, tmp_path: Path) -> None:
    url = fresh(postgres, tmp_path).catalog_url.get_secret_value()

    async def shared() -> set[str]:
        async with claims_pool(url) as pool:
            each = [Cursors() for _ in range(8)]
            await asyncio.gather(*(cursors.share(pool) for cursors in each))
        return {cursors.after(ROW, NEWEST, "p") for cursors in each}

    assert len(asyncio.run(shared())) == 1


@law
@given(st.text(max_size=60))
def test_any_other_text_is_refused(cursor: str) -> None:
    with pytest.raises(Problem, match="cursor is none"):
        CURSORS.read(cursor, NEWEST, "p")


@law
@given(st.integers(0, 200), st.characters(min_codepoint=45, max_codepoint=122))
def test_a_cursor_that_was_changed_is_refused(at: int, to: str) -> None:
    cursor = CURSORS.after(ROW, NEWEST, "p")
    changed = cursor[: at % len(cursor)] + to + cursor[at % len(cursor) + 1 :]
    if changed != cursor:
        with pytest.raises(Problem, match="cursor is none"):
            CURSORS.read(changed, NEWEST, "p")
