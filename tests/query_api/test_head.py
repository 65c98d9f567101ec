"""HEAD over a real server: the headers of the GET, no body, and streams that end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.responses import StreamingResponse

from deploy.local.ports import free_ports
from query_api.head import Head

streaming: list[Request] = []


def app() -> FastAPI:
    app = FastAPI()

    @app.get("/thing")
    async def thing(request: Request) -> Response:
        return Response(b"a body", headers={"ETag": '"7"', "X-Method": request.method})

    @app.get("/absent")
    async def absent() -> Response:
        raise HTTPException(404)

    @app.post("/taken")
    async def taken() -> None: ...

    @app.get("/stream")
    async def stream(request: Request) -> Response:
        async def forever() -> AsyncIterator[bytes]:
            streaming.append(request)
            try:
                while True:
                    yield b":\n\n"
                    await asyncio.sleep(0.01)
            finally:
                streaming.remove(request)

        return StreamingResponse(forever(), media_type="text/event-stream")

    return app


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    [port] = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(Head(app()), port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        while not server.started:
            time.sleep(0.01)
        yield client
    server.should_exit = True
    thread.join()


def test_a_head_has_what_the_get_has_but_its_body(api: httpx.Client) -> None:
    for path in ("/thing", "/absent"):
        got, head = api.get(path), api.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert {**head.headers, "date": ""} == {**got.headers, "date": ""}
        assert int(head.headers["content-length"]) == len(got.content)
    assert head.headers["content-type"] == "application/json"


def test_what_has_no_get_has_no_head(api: httpx.Client) -> None:
    assert api.head("/taken").status_code == 405


def test_a_stream_is_over_at_once_and_the_connection_goes_on(api: httpx.Client) -> None:
    for _ in range(3):
        head = api.head("/stream")
        assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert api.get("/thing").content == b"a body"
    deadline = time.monotonic() + 5
    while streaming and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not streaming
