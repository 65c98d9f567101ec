"""`POST /sql?as_of=` against DuckLake's own reading of each snapshot, before and after files were merged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fastapi.testclient import TestClient

from query_api.sql import child
from query_api.view.rows import COLUMNS
from streams import lake
from streams.maintenance import Maintenance
from streams.settings import Settings
from tests.lakes import fresh
from tests.query_api.sql.world import SECRET, log, made, request
from tests.streams.small_view import put

Tables = dict[str, list[tuple[Any, ...]]]
BY_PROJECT = (
    "SELECT project_id, count(*) AS images, sum(circle_count) AS circles FROM images GROUP BY 1 ORDER BY 1"
)


def tables(connection: duckdb.DuckDBPyConnection) -> Tables:
    return {
        table: connection.execute(f"SELECT {columns} FROM lake.{table} ORDER BY ALL").fetchall()  # noqa: S608
        for table, columns in COLUMNS.items()
    }


class Moving:
    """A view that is written to, and of its snapshots what DuckLake read of each when it was the newest."""

    def __init__(self, settings: Settings, writer: duckdb.DuckDBPyConnection) -> None:
        self.settings, self._writer, self._images = settings, writer, 0
        self.seen: dict[int, Tables] = {}

    def add(self, images: int) -> None:
        """Of each of two projects, in a commit of its own: small ones stay in the catalog."""
        for nth, (project, word) in enumerate((("mine", "camera"), ("theirs", SECRET))):
            records = log(project, word, self._images, images)
            at = put(self.settings, self._writer, records, 1_000 * (2 * self._images + nth))
            self.seen[at] = tables(self._writer)
        self._images += images

    def maintain(self) -> list[str]:
        generation = lake.live(self.settings)
        with lake.catalog(self.settings) as catalog:
            place = lake.place(self.settings, generation)
            maintenance = Maintenance(self._writer, catalog, generation, place)
            return [step.name for step in (*maintenance.flush(1), *maintenance.merge())]


@pytest.fixture
def moving(postgres: str, tmp_path: Path) -> Iterator[Moving]:
    settings = fresh(postgres, tmp_path).model_copy(update={"query_by_sql": True, "sql_timeout_s": 30})
    with lake.connect(settings, read_only=False) as writer:
        yield Moving(settings, writer)


def test_each_snapshot_has_its_rows_wherever_they_are_by_now(moving: Moving) -> None:
    for images in (24, 2, 20, 1, 24, 3, 24, 24, 2):
        moving.add(images)
    for before_or_after, every in ((["flush", "merge"], 9), (["flush", "merge"], 3), ([], 1)):
        partly = 0
        for at, expected in list(moving.seen.items())[::every]:
            asked = request(moving.settings, "", at=at)
            partly += sum("_ducklake_internal_snapshot_id" in statement for statement, _ in asked.setup)
            with child.opened(asked) as connection:
                assert tables(connection) == expected, at
        if before_or_after:
            assert set(moving.maintain()) == set(before_or_after)
            moving.add(24)
            moving.add(1)
            for _ in range(6):
                moving.add(12)
    assert partly > len(moving.seen), "no snapshot reads a part of a merged file"


def test_what_is_asked_of_the_past_and_by_whom(moving: Moving) -> None:
    moving.add(24)
    (first, second), before = moving.seen, [{"project_id": "mine", "images": 24, "circles": None}]
    moving.add(3)
    with TestClient(made(moving.settings)) as api:

        def rows(as_of: object, project: str = "") -> Any:
            headers = {"Project": project} if project else {}
            answer = api.post(f"/sql?as_of={as_of}", json={"query": BY_PROJECT}, headers=headers)
            return answer.json()["rows"] if answer.status_code == 200 else answer.status_code

        circles = sum(row[4] for row in moving.seen[first]["detections"])
        assert rows(first) == [{**before[0], "circles": circles}]
        assert [row["images"] for row in rows(second)] == [24, 24]
        assert [row["images"] for row in rows("")] == [27, 27]
        assert [row["images"] for row in rows("2100-01-01", "mine")] == [27]
        assert rows(first, "mine") == 400  # snapshots count what all projects do
        assert (rows(second + 1_000), rows("2000-01-01"), rows("then")) == (410, 410, 400)
