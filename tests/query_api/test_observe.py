"""Requests seen: an id each, one JSON line, and metrics by what our routes are called, whatever is asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import httpx
import orjson
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from query_api import errors, metrics
from query_api.errors import Problem
from query_api.observe import Observe, access_log
from query_api.turns import Turns
from streams.settings import Settings

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def written() -> list[bytes]:
    return []


@pytest.fixture
def app(written: list[bytes]) -> FastAPI:
    turns = Turns(at_once=1, waiting=0)
    app, measured = FastAPI(), metrics.Metrics(turns)
    errors.install(app)
    app.include_router(metrics.routes(measured))
    app.add_middleware(Observe, metrics=measured, write=written.append)

    @app.get("/images/{image_id}")
    async def image(image_id: str) -> str:
        if image_id == "none":
            raise Problem(404, "there is none")
        if image_id == "bug":
            raise RuntimeError("unforeseen")
        return image_id

    @app.post("/images")
    async def upload() -> str:
        with turns.place(), turns.place():
            return "never"

    return app


@pytest.fixture
def api(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def lines(written: list[bytes]) -> list[dict[str, object]]:
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in written)
    return [orjson.loads(line) for line in written]


def test_a_request_is_one_line_with_its_ids_and_nothing_secret(api: TestClient, written: list[bytes]) -> None:
    headers = {"X-Request-ID": "order-7.1", "traceparent": TRACE, "Authorization": "Bearer hidden"}
    answer = api.get("/images/7?token=hidden", headers=headers)
    assert answer.headers["x-request-id"] == "order-7.1"
    (line,) = lines(written)
    assert "hidden" not in str(line)
    assert re.fullmatch(r"[\d.]+", str(line.pop("took_ms")))
    assert str(line.pop("at")).endswith("+00:00")
    assert line == {
        "request_id": "order-7.1", "trace_id": TRACE[3:35], "method": "GET", "path": "/images/7",
        "status": 200, "client": "testclient",
    }  # fmt: skip


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", '"', "\xe9", "a,b"])
def test_an_id_that_could_break_a_log_is_replaced(api: TestClient, given: str) -> None:
    answer = api.get("/images/7", headers={b"x-request-id": given.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_lines_are_written_unless_only_warnings_are_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    write = access_log(Settings(log_level="INFO"))
    assert write and access_log(Settings(log_level="WARNING")) is None
    write(b"a line\n")
    assert capfd.readouterr().err == "a line\n"


def test_ids_that_are_made_differ(api: TestClient) -> None:
    assert len({api.get("/images/7").headers["x-request-id"] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "trace", ["", "x", TRACE + "0", TRACE.upper(), "00-" + "g" * 32 + TRACE[35:], "\xe9"]
)
def test_a_trace_that_is_none_is_not_logged(api: TestClient, written: list[bytes], trace: str) -> None:
    api.get("/images/7", headers={b"traceparent": trace.encode("latin-1")})
    assert [line.keys() & {"trace_id"} for line in lines(written)] == [set()]


def test_an_unforeseen_error_is_answered_with_its_id_and_counted(
    api: TestClient, written: list[bytes]
) -> None:
    answer = api.get("/images/bug")
    assert (answer.status_code, answer.json()["instance"]) == (500, "/images/bug")
    assert "unforeseen" not in answer.text
    assert [(line["status"], line["request_id"]) for line in lines(written)] == [
        (500, answer.headers["x-request-id"])
    ]


def test_metrics_are_by_route_and_no_caller_makes_up_series(api: TestClient) -> None:
    for number in range(30):
        api.get(f"/images/{number}")
        api.get(f"/nowhere/{number}")
        api.request(f"VERB{number}", "/images/1")
    api.get("/images/none")
    api.get("/images/bug")
    assert api.post("/images").status_code == 429
    told = api.get("/metrics").text
    counted = dict(re.findall(r"circles_api_request_seconds_count\{(.*)\} ([\d.]+)", told))
    assert counted == {
        'method="GET",route="/images/{image_id}",status="200"': "30.0",
        'method="GET",route="",status="404"': "30.0",
        'method="other",route="/images/{image_id}",status="405"': "30.0",
        'method="GET",route="/images/{image_id}",status="404"': "1.0",
        'method="GET",route="/images/{image_id}",status="500"': "1.0",
        'method="POST",route="/images",status="429"': "1.0",
    }
    assert "circles_api_uploads_refused_total 1.0" in told
    assert "circles_api_uploads_under_way 0.0" in told
    assert "process_resident_memory_bytes" in told


def test_buckets_add_up(api: TestClient) -> None:
    for _ in range(5):
        api.get("/images/1")
    found = re.findall(
        r'_bucket\{le="([^"]+)",method="GET",route="/images.*\} ([\d.]+)', api.get("/metrics").text
    )
    counts = [float(count) for _, count in found]
    assert [le for le, _ in found] == [*map(str, metrics.SECONDS), "+Inf"]
    assert counts == sorted(counts)
    assert counts[-1] == 5


def test_a_client_that_goes_away_is_499(app: FastAPI) -> None:
    begun = asyncio.Event()

    @app.get("/slow")
    async def slow() -> None:
        begun.set()
        await asyncio.sleep(60)

    async def ask() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            task = asyncio.create_task(client.get("/slow"))
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return (await client.get("/metrics")).text

    assert '_count{method="GET",route="/slow",status="499"} 1.0' in asyncio.run(ask())
