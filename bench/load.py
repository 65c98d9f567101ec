"""The HTTP load: some keep-alive connections, each sending its next request when the last is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
import psutil
import uvloop

from bench.measure import Figure, median, percentile, ratio


class Request(NamedTuple):
    method: str
    url: str
    expected: int = 200
    headers: Mapping[str, str] | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """One round: how many a second, each one's time, and what the server's process spent on one."""

    requests_per_s: float
    server_cpu_ms: float
    latencies_ms: list[float] = field(repr=False)


def load(
    requests: Iterator[Request], server: psutil.Process, *, seconds: float, connections: int = 16
) -> Load:
    """Send `requests` for so long. Raises AssertionError for an answer with another status than expected."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_load(requests, server, seconds, connections))


def figures(found: Mapping[str, Sequence[Load]], ours: Sequence[str], limits: Sequence[str]) -> list[Figure]:
    """Rates and the server's time of each case, our latencies, and our first case's ratios to the limits."""
    rates = {name: [one.requests_per_s for one in rounds] for name, rounds in found.items()}
    spent = {name: [one.server_cpu_ms for one in rounds] for name, rounds in found.items()}
    latencies = {name: [one.latencies_ms for one in found[name]] for name in ours}
    return [
        *(median(name, "requests/s", values) for name, values in rates.items()),
        *(median(f"{name}: server's CPU", "ms a request", values) for name, values in spent.items()),
        *(percentile(name, "ms", percent, of) for name, of in latencies.items() for percent in (50, 99)),
        *(ratio(ours[0], rates[ours[0]], rates[limit], limit) for limit in limits),
    ]


async def _load(
    requests: Iterator[Request], server: psutil.Process, seconds: float, connections: int
) -> Load:
    latencies: list[float] = []
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=60),
        auto_decompress=False,
    ) as session:

        async def one_connection(until: float) -> None:
            while (began := time.perf_counter()) < until:
                request = next(requests)
                async with session.request(
                    request.method, request.url, headers=request.headers, data=request.body
                ) as answer:
                    body = await answer.read()
                assert answer.status == request.expected, f"{answer.status} {request.url}: {body[:200]!r}"
                latencies.append((time.perf_counter() - began) * 1000)

        began, cpu = time.perf_counter(), _cpu_s(server)
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(one_connection(began + seconds))
        took, spent = time.perf_counter() - began, _cpu_s(server) - cpu
    return Load(len(latencies) / took, spent * 1000 / len(latencies), latencies)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
