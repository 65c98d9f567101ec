"""Fetching by URL: what is public is fetched within its bounds, what is not gets no connection.

Whether there was a connection says a listener, not the code. `tests.ssrf` counts packets to any address.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deploy.local.ports import free_ports
from query_api.errors import Problem
from query_api.fetch import Fetcher
from streams.settings import Settings
from tests.ssrf.addresses import REDIRECTS, urls

LISTENED = ("127.0.0.1", "127.1.2.3", "127.255.255.254", "::1")
OPEN = "127.0.0.9"
"""The address that a test may let the fetcher reach."""
Lookup = Callable[..., list[Any]]


class Listener:
    """A server at several loopback addresses that remembers which of them was connected to."""

    def __init__(self, *answers: bytes) -> None:
        self.port = free_ports(1)[0]
        self.reached: list[str] = []
        self.heads: list[bytes] = []
        self._answering: list[asyncio.Task[None]] = []
        self._answers = answers or (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbytes",)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        servers = [await asyncio.start_server(self._answer, host, self.port) for host in (*LISTENED, OPEN)]
        try:
            yield self
        finally:
            for server in servers:
                server.close()
            for task in self._answering:
                task.cancel()
            await asyncio.gather(*self._answering, return_exceptions=True)
            await asyncio.sleep(0.02)  # until sockets are closed

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._answering.append(task)
        self.reached.append(writer.get_extra_info("sockname")[0])
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in self._answers:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # who asked had enough
        finally:
            writer.close()


def names(*turns: Iterable[str]) -> Lookup:
    """Looks numbers up as the platform does; a name is where its turn says, the last one for good."""
    left = [list(turn) for turn in turns]

    def lookup(host: str, port: int, family: int, kind: int, protocol: int, flags: int) -> list[Any]:
        try:
            return socket.getaddrinfo(host, port, family, kind, protocol, flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            found = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6, kind, protocol, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, kind, protocol, "", (address, port))
            for address in found
        ]

    return lookup


def fetcher(listener: Listener, resolver: Lookup | None = None, **more: Any) -> Fetcher:
    settings = Settings(url_ports=str(listener.port), **{"url_networks": "", "url_timeout_s": 5, **more})
    return Fetcher(settings, resolver or names(["127.0.0.1"]))


async def outcomes(listener: Listener, ours: Fetcher, found: Iterable[str]) -> list[bytes | str]:
    """The bytes of each URL, or what was said in a 413 or 422."""
    ends: list[bytes | str] = []
    async with listener.listening():
        for url in found:
            try:
                ends.append(await ours.get(url))
            except Problem as problem:
                ends.append(problem.detail if problem.status in (413, 422) else repr(problem.status))
    return ends


def one(listener: Listener, ours: Fetcher, path: str = "") -> bytes | str:
    return asyncio.run(outcomes(listener, ours, [f"http://camera.test:{listener.port}/{path}"]))[0]


def test_what_is_allowed_is_fetched_at_the_address_that_was_looked_up() -> None:
    listener = Listener()
    assert one(listener, fetcher(listener, names([OPEN]), url_networks=f"{OPEN}/32")) == b"bytes"
    assert listener.reached == [OPEN]
    assert f"\r\nHost: camera.test:{listener.port}\r\n".encode() in listener.heads[0]


def test_no_way_to_write_a_forbidden_address_leads_to_a_connection() -> None:
    listener = Listener()
    found = urls(listener.port)
    assert len(found) > 1_000
    ends = asyncio.run(outcomes(listener, fetcher(listener), found))
    assert {url: end for url, end in zip(found, ends, strict=True) if not str(end).startswith("url ")} == {}
    assert listener.reached == []


def test_the_listener_is_reached_by_who_does_not_ask_the_guard() -> None:
    """So that its silence means something."""
    listener = Listener()
    ours = fetcher(listener, url_networks="127.0.0.0/8,::1/128")
    found = [url for url in urls(listener.port) if url.startswith("http://") and "127." in url]
    ends = asyncio.run(outcomes(listener, ours, found))
    assert len(listener.reached) >= ends.count(b"bytes") > 5


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_is_not_followed(status: int) -> None:
    async def all_of_them() -> None:
        listener = Listener()
        targets = [url for url in urls(listener.port)[::100] if url.isascii() and url.isprintable()]
        for target in [*targets, f"http://{OPEN}:{listener.port}/"]:
            head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            listener = Listener(head.encode())
            ours = fetcher(listener, names([OPEN]), url_networks=f"{OPEN}/32")
            (end,) = await outcomes(listener, ours, [f"http://camera.test:{listener.port}/"])
            assert (end, listener.reached) == (
                "url answers with a redirect, which is not followed: send its aim",
                [OPEN],
            )

    asyncio.run(all_of_them())


@pytest.mark.parametrize("later", [*LISTENED, "::ffff:127.0.0.1"])
def test_a_name_that_leads_elsewhere_when_asked_again_is_asked_once(later: str) -> None:
    listener = Listener()
    ours = fetcher(listener, names([OPEN], [later]), url_networks=f"{OPEN}/32")
    url = f"http://camera.test:{listener.port}/"
    ends = asyncio.run(outcomes(listener, ours, [url, url]))
    assert ends == [b"bytes", "url leads to an address that is not public"]
    assert listener.reached == [OPEN]


def test_a_name_with_one_forbidden_address_among_others_is_refused() -> None:
    listener = Listener()
    ours = fetcher(listener, names([OPEN, "127.0.0.1"]), url_networks=f"{OPEN}/32")
    assert one(listener, ours) == "url leads to an address that is not public"
    assert listener.reached == []


def test_what_a_name_stands_for_here_is_not_told() -> None:
    listener = Listener()
    assert "10.1.2.3" not in str(one(listener, fetcher(listener, names(["10.1.2.3"]))))


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([OK + b"Content-Length: 101\r\n\r\n" + bytes(101)], "larger than 100 bytes"),
        ([OK + b"\r\n", *[bytes(60)] * 9], "larger than 100 bytes"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"40\r\n" + bytes(64) + b"\r\n"] * 9], "larger than"),
        ([OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nbytes"], "url answers in an encoding"),
        ([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], "url answers 404, not 200"),
        ([b"HTTP/1.1 206 Part\r\nContent-Length: 0\r\n\r\n"], "url answers 206, not 200"),
        ([b"220 mail ready\r\n"], "url cannot be fetched: RemoteProtocolError"),
        ([OK + b"Content-Length: 9\r\n\r\nbytes"], "url cannot be fetched: RemoteProtocolError"),
        ([OK + b"Content-Length: 99\r\n\r\n", *[b"."] * 90], "url was not fetched within 0.3 s"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"] * 90, "url was not fetched within 0.3 s"),
    ],
    ids=["long", "endless", "chunked", "packed", "404", "206", "no HTTP", "cut off", "slow", "never begins"],
)
def test_what_is_no_answer_within_bounds_is_said(answers: list[bytes], said: str) -> None:
    listener = Listener(*answers)
    timeout_s = 0.3 if "within 0.3 s" in said else 30
    more = {"url_networks": f"{OPEN}/32", "max_upload_size": 100, "url_timeout_s": timeout_s}
    end = one(listener, fetcher(listener, names([OPEN]), **more))
    assert isinstance(end, str) and said in end


def test_no_cookie_goes_along_with_the_next_request() -> None:
    listener = Listener(OK + b"Set-Cookie: session=1; Path=/\r\nContent-Length: 5\r\n\r\nbytes")
    ours = fetcher(listener, names([OPEN]), url_networks=f"{OPEN}/32")
    url = f"http://camera.test:{listener.port}/"
    assert asyncio.run(outcomes(listener, ours, [url, url])) == [b"bytes"] * 2
    assert not any(b"cookie" in head.lower() for head in listener.heads)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listener.port}")
    assert one(listener, fetcher(listener, names([OPEN]), url_networks=f"{OPEN}/32")) == b"bytes"
    assert listener.reached == [OPEN]


def test_a_name_server_that_does_not_answer_holds_nobody_up() -> None:
    answered = threading.Event()

    def stalled(*_: Any) -> list[Any]:
        answered.wait(60)
        raise socket.gaierror("nothing")

    async def run() -> float:
        listener = Listener()
        ours = fetcher(listener, stalled, url_timeout_s=0.1)
        began = asyncio.get_running_loop().time()
        waits: list[Awaitable[bytes]] = [ours.get(f"http://camera.test:{listener.port}/") for _ in range(3)]
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert {str(end) for end in ends} == {"url was not fetched within 0.1 s"}
        took_s = asyncio.get_running_loop().time() - began
        answered.set()
        return took_s

    assert asyncio.run(run()) < 20


@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("nft", "ip", "unshare", "mount"))),
    reason="counts packets in a network namespace, for which it needs to be root, with ip, nft and unshare",
)
def test_not_one_packet_goes_to_a_forbidden_address() -> None:
    command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.ssrf"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=300).stdout)
    assert found["control_packets"] > 100 and found["control_connections"] > 30
    assert found["public_is_fetched"] and found["rebinding_answered_by_the_public_address"] > 10
    assert found["refused"] == found["direct"] + found["names"] + found["redirects"] > 2_000
    assert found["packets_to_forbidden_addresses"] == found["connections_to_forbidden_addresses"] == 0
