"""`POST /sql` on a real view: its answers in each format, its limits, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson
import psutil
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from query_api.answers import ARROW, JSONL
from query_api.sql.child import apart
from streams.settings import Settings
from streams.topics import UPLOADED
from tests.examples import MOMENT
from tests.query_api.children import children
from tests.query_api.leaving import leave
from tests.query_api.sql.world import SECRET, made, view_of

ENDLESS = "SELECT count(*) FROM range(1000000) a, range(10000000) b WHERE a.range * b.range = 7"
ask_and_leave = partial(leave, method="POST", path="/sql", body=orjson.dumps({"query": ENDLESS}))
BY_SOURCE = """SELECT source_id, count(*) AS images, sum(circle_count) AS circles
               FROM images GROUP BY ALL ORDER BY 1"""
TOLD = """SELECT count(detected_at) AS detected,
          count(*) FILTER (detected_at IS NULL AND dead_letter_id IS NOT NULL) AS failed FROM images"""


@pytest.fixture(scope="module")
def settings(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return view_of(postgres, tmp_path_factory.mktemp("view"), ("mine", "camera"), ("theirs", SECRET))


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(made(settings)) as client:
        yield client


def rows(api: TestClient, query: str, project: str = "", **more: Any) -> list[dict[str, Any]]:
    answer = api.post("/sql", json={"query": query, **more}, headers={"Project": project} if project else {})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["count"] == len(body["rows"])
    found: list[dict[str, Any]] = body["rows"]
    return found


def test_it_waits_for_what_its_caller_has_sent(settings: Settings) -> None:
    app = made(settings)
    with TestClient(app) as api:
        asked = {"query": "SELECT count(*) AS n FROM images"}
        app.state.waiting.came({(UPLOADED.name, 3): 0})
        late = api.post("/sql", params={"after": "3-7"}, json=asked)
        assert (late.status_code, late.json()["lag"], late.headers["retry-after"]) == (504, 8, "1")
        app.state.waiting.came({(UPLOADED.name, 3): 8})
        assert api.post("/sql", params={"after": "3-7"}, json=asked).json()["rows"] == [{"n": 54}]
        assert api.post("/sql", params={"after": "soon"}, json=asked).status_code == 400


def test_rows_of_files_and_of_the_catalog_are_answered_together(api: TestClient) -> None:
    assert rows(api, "SELECT project_id, count(*) AS n FROM images GROUP BY ALL ORDER BY 1") == [
        {"project_id": "mine", "n": 27}, {"project_id": "theirs", "n": 27},
    ]  # fmt: skip
    assert rows(api, BY_SOURCE, "mine") == [
        {"source_id": f"camera {n}", "images": 9, "circles": circles} for n, circles in enumerate((5, 10, 12))
    ]
    assert rows(api, TOLD, "mine") == [{"detected": 14, "failed": 3}]
    joined = "SELECT count(*) AS n FROM images JOIN circles USING (image_id) WHERE x = radius"
    assert rows(api, joined, "mine") == [{"n": 27}]


def test_parameters_have_names_or_an_order(api: TestClient) -> None:
    query = (
        "SELECT count(*) AS n FROM images WHERE uploaded_at >= $since AND source_id IN (SELECT unnest($of))"
    )
    named = {"since": MOMENT.isoformat(), "of": ["camera 1", "'; DROP"]}
    assert rows(api, query, parameters=named) == [{"n": 9}]
    assert rows(api, "SELECT ? + ? AS n", parameters=[1, 2]) == [{"n": 3}]
    for wrong in ({}, {"since": "x", "of": ["camera 1"]}, {**named, "more": 1}):
        assert api.post("/sql", json={"query": query, "parameters": wrong}).status_code == 400


def test_the_same_rows_as_json_lines_and_arrow(api: TestClient) -> None:
    query = {"query": "SELECT * FROM circles ORDER BY image_id, object_id"}
    whole = api.post("/sql", json=query).json()["rows"]
    assert len(whole) == 54
    lines = api.post("/sql", json=query, headers={"Accept": JSONL})
    assert lines.headers["content-type"].startswith(JSONL)
    assert [orjson.loads(line) for line in lines.text.splitlines()] == whole
    stream = api.post("/sql", json=query, headers={"Accept": ARROW})
    table = pa.ipc.open_stream(stream.content).read_all()
    assert orjson.loads(orjson.dumps(table.to_pylist())) == whole
    none = {"query": "SELECT uri FROM images WHERE false"}
    assert api.post("/sql", json=none).json() == {
        "rows": [], "count": 0, "snapshot": None, "watermark": None, "age_s": None,
    }  # fmt: skip
    assert api.post("/sql", json=none, headers={"Accept": JSONL}).content == b""
    empty = api.post("/sql", json=none, headers={"Accept": ARROW})
    assert pa.ipc.open_stream(empty.content).read_all().column_names == ["uri"]
    assert api.post("/sql", json=none, headers={"Accept": "text/csv"}).status_code == 406


def test_each_type_has_a_json_of_its_own(api: TestClient) -> None:
    query = """SELECT sum(range)::HUGEINT AS whole, 1.50 AS decimal, DATE '2026-01-31' AS day,
        TIME '10:00' AS time,
        INTERVAL 3 DAY AS days, MAP {'a': 1} AS map, {'a': [1, NULL]} AS struct, 'x'::BLOB AS bytes,
        'NaN'::FLOAT AS nan,
        NULL AS null, true AS yes, '{"a": 1}'::JSON AS json, 2::UBIGINT**63 AS large,
        1 AS whole FROM range(4)"""
    (row,) = rows(api, query)
    assert row.pop("days")
    assert row == {
        "whole": 6, "decimal": 1.5, "day": "2026-01-31", "time": "10:00:00", "map": [["a", 1]],
        "struct": {"a": [1, None]}, "bytes": "eA==", "nan": None, "null": None, "yes": True,
        "json": '{"a": 1}',
        "large": 2.0**63, "whole_1": 1,
    }  # fmt: skip


def test_columns_of_one_name_are_told_apart() -> None:
    assert apart(["a", "a", "b", "a_1", "a"]) == ["a", "a_2", "b", "a_1", "a_3"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "query is a text"), ({"query": 1}, "query is a text"), ({"query": " "}, "query is a text"),
        ({"query": "SELECT 1", "x": 1}, "send"), ([], "send"),
        ({"query": "SELECT 1", "parameters": 1}, "parameters is an object"),
        ({"query": "FROM lake.images"}, "table 'lake.images' is not one of images, circles"),
        ({"query": "SELECT getenv('x')"}, "function 'getenv' cannot be called here"),
        ({"query": "FROM range(200)"}, "the answer has more than 100 rows"),
        ({"query": "SELECT list(range) FROM range(100000000)"}, "more than 64 MB (SQL_MEMORY_MB)"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why(settings: Settings, body: Any, said: str) -> None:
    small = settings.model_copy(update={"sql_rows": 100, "sql_memory_mb": 64})
    with TestClient(made(small)) as api:
        answer = api.post("/sql", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_intervals_are_durations_of_iso_8601(api: TestClient) -> None:
    query = """SELECT INTERVAL '98.5 seconds' AS a, INTERVAL '1 month 2 days' AS b, INTERVAL '0 days' AS c,
               INTERVAL '-1 hour' AS d, INTERVAL '14 months 1 second' AS e"""
    durations = {"a": "PT98.5S", "b": "P1M2D", "c": "PT0S", "d": "PT-3600S", "e": "P14MT1S"}
    assert rows(api, query) == [durations]


def test_more_bytes_than_there_may_be_are_refused(api: TestClient) -> None:
    answer = api.post("/sql", json={"query": "SELECT repeat('x', 1000000) FROM range(100)"})
    assert answer.status_code == 422
    assert "more than 64 MB" in answer.text


def test_it_is_off_unless_it_is_turned_on(settings: Settings) -> None:
    with TestClient(made(settings.model_copy(update={"query_by_sql": False}))) as api:
        answer = api.post("/sql", json={"query": "SELECT 1"})
    assert answer.status_code == 404
    assert "QUERY_BY_SQL=1" in answer.json()["detail"]


def processes() -> set[int]:
    """Those of queries that this process has."""
    return children("query_api.sql.child")


def test_a_query_that_takes_too_long_is_ended_with_its_process(settings: Settings) -> None:
    before = processes()
    with TestClient(made(settings.model_copy(update={"sql_timeout_s": 0.5}))) as api:
        answer = api.post("/sql", json={"query": ENDLESS})
    assert answer.status_code == 504
    assert "0.5 s (SQL_TIMEOUT_S)" in answer.json()["detail"]
    assert processes() <= before


def test_who_goes_away_takes_the_process_along(settings: Settings) -> None:
    async def went() -> set[int]:
        app = made(settings)
        began = time.monotonic()
        sent = await ask_and_leave(app, after_s=1)
        assert time.monotonic() - began < settings.sql_timeout_s
        assert sent[0]["status"] == 400, sent
        await app.state.asking.ahead.close()
        return processes()

    before = processes()
    assert asyncio.run(went()) <= before


def test_one_more_than_may_ask_at_once_is_told_so_and_a_process_that_stops_tells_all(
    settings: Settings,
) -> None:
    async def together() -> list[int]:
        app = made(settings.model_copy(update={"sql_at_once": 1}))
        first = asyncio.create_task(ask_and_leave(app, after_s=60))
        while not processes() - before:  # noqa: ASYNC110 the kernel has no event for it
            await asyncio.sleep(0.05)
        second = await ask_and_leave(app, after_s=60)
        app.state.stopping.tell()
        statuses = [second[0]["status"], (await first)[0]["status"]]
        assert {(b"retry-after", b"1")} <= set(second[0]["headers"])
        await app.state.asking.ahead.close()
        return statuses

    before = processes()
    assert asyncio.run(together()) == [429, 503]
    assert processes() <= before


def test_a_process_that_was_killed_ahead_is_replaced(settings: Settings) -> None:
    before = processes()
    with TestClient(made(settings)) as api:
        assert rows(api, "SELECT 1 AS a") == [{"a": 1}]
        while not (ahead := processes() - before):
            time.sleep(0.05)
        for process in ahead:
            os.kill(process, signal.SIGKILL)
        while any(map(psutil.pid_exists, ahead)):  # until it is known to have ended
            time.sleep(0.01)
        assert rows(api, "SELECT 2 AS a") == [{"a": 2}]
    assert processes() <= before
