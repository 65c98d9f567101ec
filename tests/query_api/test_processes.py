"""Several processes behind one port, over real sockets: who is killed is replaced, and all end together."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from functools import partial

import httpx

from deploy.local.ports import free_ports
from tests.local.test_supervise import gone
from tests.query_api.test_serving import until

COUNT = 3


def begun(port: int, *more: str, drain_s: float = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.query_api.several", str(port), str(COUNT), str(drain_s), *more]
    return subprocess.Popen(command)


@contextmanager
def served(drain_s: float = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    [port] = free_ports(1)
    process = begun(port, drain_s=drain_s)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: len(serving(url)) == COUNT)
        yield url, process
    finally:
        process.kill()
        process.wait()


def serving(url: str) -> set[int]:
    """Who answers, of many connections at once."""

    async def ask() -> set[int]:
        async with httpx.AsyncClient(timeout=20) as client:
            answers = await asyncio.gather(
                *(client.get(f"{url}/pid", headers={"Connection": "close"}) for _ in range(60))
            )
        return {answer.json() for answer in answers}

    try:
        return asyncio.run(ask())
    except httpx.TransportError:
        return set()


def test_one_that_is_killed_is_replaced_while_the_others_answer() -> None:
    with served() as (url, process):
        before = serving(url)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        until(partial(gone, victim))
        assert victim not in serving(url)  # each of 60 connections is taken by another
        until(lambda: before - {victim} < serving(url))  # by chance a look may miss one of them
        assert process.poll() is None


def test_all_of_them_killed_at_once_come_back() -> None:
    with served() as (url, process):
        before = serving(url)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(serving(url) - before) == COUNT)
        assert process.poll() is None


def test_told_to_stop_all_end_what_is_under_way() -> None:
    with served() as (url, process):

        async def work() -> set[int]:
            async with AsyncExitStack() as stack:
                connected: dict[int, httpx.AsyncClient] = {}
                while len(connected) < COUNT:  # whom a connection comes to is chance
                    clients = [
                        await stack.enter_async_context(httpx.AsyncClient(timeout=20)) for _ in range(20)
                    ]
                    told = await asyncio.gather(*(client.get(f"{url}/pid") for client in clients))
                    connected |= {answer.json(): c for answer, c in zip(told, clients, strict=True)}
                asked = [asyncio.create_task(c.get(f"{url}/work")) for c in connected.values()]
                await asyncio.sleep(0.8)
                process.send_signal(signal.SIGTERM)
                return {answer.json() for answer in await asyncio.gather(*asked)}

        pids = asyncio.run(work())
        assert len(pids) == COUNT
        assert process.wait(30) == 0
        for pid in pids:
            assert gone(pid)
        assert serving(url) == set()


def test_a_second_signal_does_not_wait() -> None:
    with served(drain_s=60) as (url, process):
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{url}/told", timeout=20).json())  # two at once would be one
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_none_outlives_the_parent_however_that_ends() -> None:
    with served() as (url, process):
        pids = serving(url)
        process.kill()
        for pid in pids:
            until(partial(gone, pid))


def test_where_none_can_begin_the_parent_says_so_with_its_exit_status() -> None:
    assert begun(free_ports(1)[0], "fails").wait(60) == 3
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        assert begun(taken.getsockname()[1]).wait(60) != 0
