"""The peers write what the fold writes, and are credited with nothing else."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from bench import events
from bench.peers.compare import Mark, Rates, check, create, rates, read
from bench.peers.tables import Tables
from streams.views import Keys, fold
from tests.examples import CODEC, batch, circles, detected, message

Held = dict[str, list[Any]]


def test_a_peer_writes_the_rows_of_the_fold(tmp_path: Path) -> None:
    log = [
        detected(),
        detected(image_id=UUID(int=7), circles=circles(0)),
        detected(image_id=UUID(int=8), replay_id=UUID(int=9), model_version="2", project_id="ä"),
    ]
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    create(theirs)
    create(ours)
    with closing(Tables(theirs, tmp_path / "marks")) as tables:
        tables.write([tables.decode(CODEC.encode(event)) for event in log])
    with duckdb.connect(str(ours)) as view:
        for name, rows in fold(Keys(), batch([message(event) for event in log])).items():
            view.register("batch", rows)
            view.execute(f"INSERT INTO {name} BY NAME SELECT * FROM batch")  # noqa: S608 our names
    assert held(theirs) == held(ours)
    assert {name: len(rows) for name, rows in held(theirs).items()} == {"detections": 3, "objects": 4}


def test_marks_say_when_the_first_message_came_and_what_each_commit_brought(tmp_path: Path) -> None:
    create(tmp_path / "view")
    marks = tmp_path / "marks"
    assert read(marks) == []
    with closing(Tables(tmp_path / "view", marks)) as tables:
        first = tables.decode(CODEC.encode(detected()))
        assert [mark.events for mark in read(marks)] == [0]
        tables.write([first, first])
        tables.write([first])
    with marks.open("a") as unfinished:
        unfinished.write("17")
    found = read(marks)
    assert [mark.events for mark in found] == [0, 2, 3]
    assert found[0].at <= found[1].at <= found[2].at
    with pytest.raises(FileExistsError):
        Tables(tmp_path / "view", marks)


def test_a_rate_ends_with_the_commit_that_reaches_enough() -> None:
    marks = [Mark(10, 0), Mark(12, 100), Mark(13, 200), Mark(14, 300), Mark(60, 400)]
    assert rates(marks, 201) == Rates(whole=300 / 4, second_half=100)


@pytest.mark.parametrize(("first", "second", "claimed"), [(2, 0, 3), (3, 0, 2), (3, 3, 6)])
def test_a_peer_is_not_credited_with_rows_that_are_missing_or_twice(
    tmp_path: Path, first: int, second: int, claimed: int
) -> None:
    view = tmp_path / "view"
    create(view)
    with closing(Tables(view, tmp_path / "marks")) as tables:
        decoded = [tables.decode(CODEC.encode(event)) for event in events.detected(3)]
        tables.write(decoded[:first])
        tables.write(decoded[:second])
    with pytest.raises(AssertionError, match="detections"):
        check(view, claimed)


def test_a_peer_with_each_row_once_is_credited(tmp_path: Path) -> None:
    view = tmp_path / "view"
    create(view)
    with closing(Tables(view, tmp_path / "marks")) as tables:
        tables.write([tables.decode(CODEC.encode(event)) for event in events.detected(3)])
    check(view, 3)


def held(file: Path) -> Held:
    with duckdb.connect(str(file)) as view:
        view.execute("SET TimeZone = 'UTC'")
        return {n: view.execute(f"FROM {n} ORDER BY ALL").fetchall() for n in ("detections", "objects")}
