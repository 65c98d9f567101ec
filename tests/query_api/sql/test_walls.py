"""Hostile queries: all of them before the parts that answer in their order, a few at the door itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from fastapi.testclient import TestClient

from query_api.sql import child
from query_api.sql.checking import Refused, check
from streams import lake
from streams.settings import Settings
from tests.query_api.sql import hostile
from tests.query_api.sql.world import made, request, view_of


@pytest.fixture(scope="module")
def settings(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    limits = {"sql_timeout_s": 2, "sql_memory_mb": 128, "sql_rows": 1000}
    folder = tmp_path_factory.mktemp("view")
    return view_of(postgres, folder, ("mine", "camera")).model_copy(update=limits)


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(made(settings)) as client:
        yield client


@pytest.fixture(scope="module")
def opened(settings: Settings) -> duckdb.DuckDBPyConnection:
    """What the process of a query has."""
    return child.opened(request(settings, ""))


def filled(settings: Settings, query: str) -> str:
    """A query with the places of this view."""
    place = lake.place(settings, lake.live(settings))
    file = next(Path(place).rglob("*.parquet"))
    names = {"{place}": place, "{file}": str(file), "{folder}": str(settings.data_dir)}
    for name, text in names.items():
        query = query.replace(name, text)
    return query


def asked_and_answered(opened: duckdb.DuckDBPyConnection, asked: child.Request, file: int) -> None:
    check(opened, asked.query)
    child.answered(opened, asked, file)


@pytest.mark.parametrize("query", [*hostile.FILES, *hostile.ELSEWHERE, *hostile.INSIDE])
def test_what_may_not_be_asked_is_refused(
    settings: Settings, opened: duckdb.DuckDBPyConnection, query: str
) -> None:
    asked = request(settings, filled(settings, query))
    with tempfile.TemporaryFile() as file, pytest.raises((Refused, duckdb.Error)):
        asked_and_answered(opened, asked, file.fileno())
    assert not list(settings.data_dir.glob("written*"))


@pytest.mark.parametrize("query", hostile.FILES + hostile.ELSEWHERE)
def test_the_first_wall_alone_stops_what_reaches_out(
    settings: Settings, opened: duckdb.DuckDBPyConnection, query: str
) -> None:
    with pytest.raises((Refused, duckdb.ParserException)):
        check(opened, filled(settings, query))


@pytest.mark.parametrize("query", hostile.FILES + hostile.ELSEWHERE)
def test_the_second_wall_alone_stops_what_reaches_out(
    settings: Settings, opened: duckdb.DuckDBPyConnection, query: str
) -> None:
    with pytest.raises(duckdb.Error):
        opened.execute(filled(settings, query)).fetchall()
    assert not list(settings.data_dir.glob("written*"))


AT_THE_DOOR = (hostile.FILES[0], hostile.ELSEWHERE[0], *hostile.INSIDE[:3], "FROM lake.images", "SELEC 1", "")


@pytest.mark.parametrize("query", AT_THE_DOOR)
def test_a_refusal_says_what_was_wrong(settings: Settings, api: TestClient, query: str) -> None:
    answer = api.post("/sql", json={"query": filled(settings, query)})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("query", hostile.LARGE)
def test_what_takes_too_much_is_stopped(api: TestClient, query: str) -> None:
    answer = api.post("/sql", json={"query": query})
    assert answer.status_code in (400, 422, 504), answer.text[:1000]
    assert any(word in answer.text for word in ("SQL_", "rows", "MB", "memory", "ange Error", "Lists larger"))


@pytest.mark.parametrize("query", hostile.DEEP, ids=lambda query: f"{query[:12]}{len(query)}")
def test_what_is_nested_deeply_ends(api: TestClient, query: str) -> None:
    assert api.post("/sql", json={"query": query[:60_000]}).status_code in (200, 400, 422, 504)


def test_the_process_has_no_password_and_no_catalog(
    settings: Settings, opened: duckdb.DuckDBPyConnection
) -> None:
    password = settings.catalog_url.get_secret_value().split(":")[2].partition("@")[0]
    assert password not in request(settings, "SELECT 1").written().decode()
    for source in ("databases()", "settings()", "views()"):
        assert password not in str(opened.execute(f"FROM duckdb_{source}").fetchall())
    others = "SELECT 1 FROM duckdb_functions() WHERE regexp_matches(function_name, 'postgres|ducklake|http')"
    assert opened.execute(others).fetchall() == []
