"""Which images a replay is about: what Python says of an upload is what SQL says of its row."""

from __future__ import annotations

import uuid
from datetime import timedelta
from itertools import pairwise
from typing import get_args

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from streams.reevaluation import State
from streams.replays import STATEMENTS, below, hashed, is_about, running
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


@law
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(get_args(State))), max_size=4), max_size=5)
)
def test_running_are_those_whose_newest_change_says_so_or_that_have_none(
    changes: list[list[tuple[int, State]]],
) -> None:
    ids = [uuid.UUID(int=n) for n in range(len(changes))]
    rows = [
        (replay_id, offset, state)
        for replay_id, of_one in zip(ids, changes, strict=True)
        for offset, state in dict(of_one).items()
    ]
    with duckdb.connect() as view:
        view.execute("ATTACH ':memory:' AS lake; CREATE TABLE lake.replays (replay_id UUID)")
        view.execute("CREATE TABLE lake.replay_changes (replay_id UUID, log_offset BIGINT, state VARCHAR)")
        if ids:
            view.executemany("INSERT INTO lake.replays VALUES (?)", [(replay_id,) for replay_id in ids])
        if rows:
            view.executemany("INSERT INTO lake.replay_changes VALUES (?, ?, ?)", rows)
        found = running(view)
    newest = [dict(of_one)[max(dict(of_one))] if of_one else "running" for of_one in changes]
    assert found == {replay_id for replay_id, state in zip(ids, newest, strict=True) if state == "running"}


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
