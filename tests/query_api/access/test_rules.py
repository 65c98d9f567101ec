"""The table of rights: each route of the app is in it, and it reads paths as the router does."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from hypothesis import example, given
from pydantic import SecretStr
from starlette.routing import Match

from query_api.access.callers import Rates
from query_api.access.guard import Guard
from query_api.access.rules import RULES, Table
from query_api.app import create_app
from streams.settings import Settings

SEGMENTS = st.sampled_from(
    ["images", "objects", "content", "", "x", "docs", "%2F", "a b", ".", "..", "health"]
)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The API itself; no route is called that would need its parts."""
    return made()


def made(cors_origins: str = "") -> FastAPI:
    catalog_url = SecretStr("postgresql://127.0.0.1:1/x")
    servers = "127.0.0.1:1"
    return create_app(
        Settings(
            kafka_bootstrap_servers=servers, catalog_url=catalog_url, auth="on", cors_origins=cors_origins
        )
    )


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Path and method of each."""
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ["WEBSOCKET"]:
            if method != "HEAD":
                yield str(route.path), method


def test_each_route_of_the_app_says_what_it_needs_and_each_rule_is_of_a_route(app: FastAPI) -> None:
    assert set(routes(app)) == {(path, method) for path, methods in RULES.items() for method in methods}


def test_a_route_without_a_rule_is_refused() -> None:
    app = FastAPI()
    app.add_middleware(Guard, callers=None, rates=Rates(""), table=Table())

    @app.get("/new")
    def new() -> str:
        return "not thought of"

    @app.delete("/status")
    def delete() -> str:
        return "not thought of"

    client = TestClient(app)
    assert (client.get("/new").status_code, client.delete("/status").status_code) == (404, 405)
    assert client.delete("/status").headers["allow"] == "GET"


@given(st.lists(SEGMENTS, max_size=6))
@example(["images", "objects"])
@example(["images", "x", "annotations"])
def test_the_table_and_the_router_agree_on_each_path(app: FastAPI, segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    scope = {"type": "http", "path": path, "root_path": "", "method": "GET", "headers": []}
    needed = {
        method: RULES[str(route.path)][method]
        for method in ("POST", "PUT", "GET")
        for route in reversed(list(iter_route_contexts(app.routes)))  # the first that matches answers
        if route.matches(scope | {"method": method})[0] is Match.FULL
        if route.path == path or path not in RULES  # the guard lets nothing else through to the router
    }
    assert needed == (Table().find(path) or {})


def test_the_document_says_which_right_each_route_needs(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    assert paths["/images/"]["post"]["x-right"] == "ingest"
    assert paths["/config"]["get"]["security"] == [{"bearer": []}, {"key": []}]
    assert "security" not in paths["/health"]["get"]


def test_browsers_ask_without_a_key_what_they_may_ask_with_one_where_that_is_set(app: FastAPI) -> None:
    asked = {
        "Origin": "https://ours",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    opened = made("https://ours")
    answer = TestClient(opened).options("/images", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://ours")
    for method in ("POST", "PUT"):
        other = asked | {"Access-Control-Request-Method": method}
        assert TestClient(opened).options("/images", headers=other).status_code == 200
    assert TestClient(opened).get("/images", headers={"Origin": "https://ours"}).status_code == 401
    closed = TestClient(app).options("/images", headers=asked)
    assert (closed.status_code, "access-control-allow-origin" in closed.headers) == (405, False)
