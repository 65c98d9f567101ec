"""Which images a replay is about: what Python says of an upload is what SQL says of its row."""

from __future__ import annotations

import uuid
from datetime import timedelta
from itertools import pairwise

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from streams.replays import STATEMENTS, below, hashed, is_about
from tests.examples import MOMENT, replay, uploaded
from tests.streams.strategies import UUIDS, law

SHARES = st.floats(0, 1, exclude_min=True)


@law
@given(UUIDS, SHARES)
def test_a_share_is_the_same_images_in_sql_and_in_python(image_id: uuid.UUID, share: float) -> None:
    condition = STATEMENTS["share"].strip()
    query = f"SELECT {condition} FROM (SELECT $image_id::UUID AS image_id)"  # noqa: S608
    with duckdb.connect() as connection:
        rows = connection.execute(query, {"image_id": image_id, "below": below(share)}).fetchall()
    assert rows == [(hashed(image_id) < below(share),)]


def test_a_share_is_as_large_as_it_says_and_within_each_larger_one() -> None:
    images = [uuid.UUID(int=n << 64) for n in range(20_000)]
    shares = (0.01, 0.1, 0.5, 0.999999999999, 1)
    chosen = [{i for i in images if hashed(i) < below(share)} for share in shares]
    assert all(smaller <= larger for smaller, larger in pairwise(chosen))
    for share, some in zip(shares, chosen, strict=True):
        assert abs(len(some) / len(images) - share) < 4 * (share * (1 - share) / len(images)) ** 0.5 + 1e-9


def test_an_upload_has_to_meet_all_conditions() -> None:
    upload = uploaded(project_id="p", source_id="gate", uploaded_at=MOMENT)
    for conditions, is_wanted in (
        ({}, True),
        ({"project_id": "p", "source_id": "gate", "since": MOMENT, "share": 1.0}, True),
        ({"project_id": "q", "source_id": "gate"}, False),
        ({"source_id": ""}, False),
        ({"since": MOMENT + timedelta(microseconds=1)}, False),
        ({"share": 1e-12}, False),
    ):
        assert is_about(replay(follow=True, **conditions), upload) is is_wanted, conditions
