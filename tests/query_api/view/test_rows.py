"""Rows of commits are the same wherever they are read: in the catalog, in files, by DuckLake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest

from query_api.view.rows import COLUMNS, TOLD, Rows
from streams import lake
from streams.maintenance import maintenance
from streams.settings import Settings
from tests.examples import circles, detected, failed, promoted, retried, uploaded
from tests.lakes import fresh
from tests.query_api.view.test_window import folding

ODD = 'it\'s, "odd"\n{}\\x41 \u00e9\U0001f52d\t'


@pytest.fixture
def settings(postgres: str, tmp_path: Path) -> Settings:
    return fresh(postgres, tmp_path)


def commits(settings: Settings) -> tuple[int, int]:
    """Two small commits with a row of each table that is followed, and what is seldom; their snapshots."""
    found = circles(3)
    found["x"] = [0.1, 1e-30, 3.4e38]
    more = {"captured_at": datetime(1, 1, 1, tzinfo=UTC), "attributes": {ODD: ODD}}
    with folding(settings) as fold:
        fold.commit(
            [
                uploaded(source_id=ODD, project_id="p", **more),
                uploaded(image_id=UUID(int=2), captured_at=datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
                detected(circles=found, replay_id=UUID(int=8)),
                failed(reason=ODD, image_id=None),
            ]
        )
        first = lake_snapshot(settings)
        fold.commit(
            [
                detected(image_id=UUID(int=2), circles=circles(0), latency_ms=0.1),
                failed(dead_letter_id=UUID(int=4)),
                retried(dead_letter_id=UUID(int=4), image_id=UUID(int=2)),
                promoted(),
            ]
        )
    return first, lake_snapshot(settings)


def lake_snapshot(settings: Settings) -> int:
    with lake.connect(settings, read_only=True) as view:
        return lake.snapshot(view)


@pytest.mark.parametrize("table", COLUMNS)
def test_they_are_what_ducklake_says(settings: Settings, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = commits(settings)
    live = lake.live(settings)
    with lake.catalog(settings) as catalog, lake.connect(settings, read_only=True) as view:
        view.execute("SET arrow_lossless_conversion = true")
        rows = Rows(live, catalog, view)
        expected = rows.added(table, None, True, first, last)  # by DuckLake
        assert expected.num_rows
        with monkeypatch.context() as patched:
            patched.delattr(Rows, "_wherever")
            there = rows.added(table, {}, True, first, last)
        assert said(table, there).equals(said(table, expected))
        with maintenance(settings, live) as upkeep:
            assert list(upkeep.flush(1))
        moved = rows.added(table, {}, True, first, last)
        assert said(table, moved).equals(said(table, expected))


def said(table: str, rows: pa.Table) -> pa.Table:
    """Of rows in some order: what has to be equal."""
    told = rows if table in TOLD else rows.drop_columns("snapshot")
    return pa.Table.from_pylist(sorted(told.to_pylist(), key=repr), told.schema)
