"""The server process over real sockets: heads that never end, and an end that lets others end."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from deploy.local.ports import free_ports
from query_api import serving
from query_api.stopping import Stopping

APP = """
import asyncio, sys
from fastapi import FastAPI, Request, Response
from query_api import serving
from query_api.stopping import Stopping
from streams.settings import Settings

app = FastAPI()
stopping = app.state.stopping = Stopping()
begun = []

@app.get("/begun")
async def count() -> int:
    return len(begun)

@app.get("/ready")
async def ready() -> Response:
    return Response(status_code=503 if stopping.told else 200)

@app.get("/work")
async def work() -> str:
    begun.append("work")
    await asyncio.sleep(1.5)
    return "done"

@app.get("/wait")
async def wait() -> str:
    begun.append("wait")
    try:
        async with stopping.cut():
            await asyncio.sleep(60)
    except TimeoutError:
        return "told"
    return "never"

@app.post("/body")
async def body(request: Request) -> int:
    return len(await request.body())

@app.post("/early")
async def early() -> str:
    return "without its body"

serving.HEAD_S = float(sys.argv[3])
serving.run(app, Settings(api_port=int(sys.argv[1]), drain_s=float(sys.argv[2])))
"""


@contextmanager
def served(drain_s: float = 0, head_s: float = 10) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "-c", APP, str(port), str(drain_s), str(head_s)])
    try:
        until(lambda: status(f"{url}/ready") == 200)
        yield url, process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], Any], within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status(url: str) -> int | None:
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return None


async def during(process: subprocess.Popen[bytes], url: str, paths: list[str]) -> list[httpx.Response]:
    """The answers to requests that are under way when the process is told to stop."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        tasks = [asyncio.create_task(client.get(path)) for path in paths]
        while (await client.get("/begun")).json() < len(paths):  # noqa: ASYNC110 in another process
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        return await asyncio.gather(*tasks)


def test_told_to_stop_it_ends_what_is_under_way_and_answers_who_waits() -> None:
    with served() as (url, process):
        began = time.monotonic()
        answers = asyncio.run(during(process, url, ["/work", "/wait", "/wait"]))
        assert [answer.json() for answer in answers] == ["done", "told", "told"]
        assert process.wait(30) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < 30


def test_before_it_closes_its_door_it_says_for_a_while_that_it_will() -> None:
    with served(drain_s=5) as (url, process):
        process.send_signal(signal.SIGTERM)
        until(lambda: status(f"{url}/ready") == 503)
        assert httpx.post(f"{url}/body", content=b"abc", timeout=20).json() == 3
        assert process.wait(30) in (0, -signal.SIGTERM)
        assert status(f"{url}/ready") is None


def test_a_second_signal_does_not_wait() -> None:
    with served(drain_s=60) as (url, process):
        process.send_signal(signal.SIGTERM)
        until(lambda: status(f"{url}/ready") == 503)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)


def test_one_that_cannot_listen_says_so_with_its_exit_status() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([sys.executable, "-c", APP, str(port), "0", "1"], check=False, timeout=60)
    assert done.returncode != 0


def said(url: str, *pieces: bytes, pause_s: float = 0) -> bytes:
    """What a raw connection is answered until it is closed."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break
            time.sleep(pause_s)
        found = b""
        try:
            while more := connection.recv(65_536):
                found += more
        except ConnectionResetError:
            pass
        return found


def test_heads_end_in_time_and_within_bounds() -> None:
    with served(head_s=0.5) as (url, process):
        assert said(url).startswith(b"HTTP/1.1 408 ")
        slow = [b"GET /ready HTTP/1.1\r\n", *[b"A: b\r\n"] * 10]
        assert said(url, *slow, pause_s=0.1).startswith(b"HTTP/1.1 408 ")
        done = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n"
        second = said(url, done, *slow, pause_s=0.1)
        assert second.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 408 " in second
        long = said(url, b"GET /ready HTTP/1.1\r\n", *[b"A: " + b"b" * 20_000 + b"\r\n"] * 40)
        assert long.startswith(b"HTTP/1.1 431 ") or long == b""  # reset before it was read
        # A body may take longer than a head, and one that nobody reads is not taken for ever.
        body = b"POST /body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n"
        assert said(url, body, *[b"x"] * 10, pause_s=0.1).endswith(b"\r\n\r\n10")
        early = body.replace(b"/body", b"/early").replace(b"Connection: close\r\n", b"")
        began = time.monotonic()
        assert b'"without its body"' in said(url, early, b"x")
        assert time.monotonic() - began < 5
        assert httpx.get(f"{url}/ready", timeout=20).status_code == 200
        assert not process.poll()


LENGTHS = [b"-1", b"x", b"1, 2", b"1\r\nContent-Length: 2", b"99999999999999999999999", b"+1", b"0x1"]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_none_is_400(length: bytes) -> None:
    async def ask() -> bytes:
        config = uvicorn.Config(FastAPI(), http=serving.Connection, log_config=None)
        config.load()
        app = FastAPI()
        app.state.stopping = Stopping()
        server = serving.Server(config, app, 0)
        server.lifespan = config.lifespan_class(config)
        listening = await asyncio.get_running_loop().create_server(
            lambda: serving.Connection(config, server.server_state, {}), "127.0.0.1", 0
        )
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\nxx")
        found = await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        listening.close()
        return found

    assert asyncio.run(ask()).startswith(b"HTTP/1.1 400 ")


def test_the_stop_is_told_to_who_comes_later_too() -> None:
    async def wait() -> list[str]:
        stopping, ends = Stopping(), []

        async def one() -> None:
            try:
                async with stopping.cut():
                    await asyncio.sleep(30)
            except TimeoutError:
                ends.append("told")

        first = asyncio.create_task(one())
        await asyncio.sleep(0)
        async with stopping.cut():
            pass
        stopping.tell()
        await asyncio.wait_for(asyncio.gather(first, one()), 5)
        return ends

    assert asyncio.run(wait()) == ["told", "told"]
