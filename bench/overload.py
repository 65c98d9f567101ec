"""Overload: three times the uploads that the API can take, for MINUTES, and how soon it is itself again."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp
import psutil
import uvloop

from bench import events
from bench.load import Request, load
from bench.measure import Figure, Say, median, percentile
from bench.stack import infrastructure, processes
from bench.upload import uploads

MINUTES = float(os.environ.get("MINUTES", "0.5"))
TIMES = 3.0
CLIENTS = 400
"""Connections at most; a client that finds none free is one more that was not served."""
BEFORE_S = 5.0
AGAIN_S = 10.0
"""After its end, in seconds one by one."""
NEAR = 0.8
"""Of the rate before is full speed, on a machine that others use."""


@dataclass(slots=True)
class Overload:
    """answers: by status. *_ms: how long until what was accepted, or refused, was answered."""

    answers: Counter[int] = field(default_factory=Counter)
    accepted_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    unsent: int = 0


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings, processes(settings, "api") as supervisor:
        server = psutil.Process(supervisor.pids()["api"])
        jpeg = events.photograph(1, 640, 480, quality=90)
        url = f"{settings.api_url}/images/"
        load(uploads(url, jpeg), server, seconds=BEFORE_S)  # warm
        before = load(uploads(url, jpeg), server, seconds=BEFORE_S)
        say(f"{before.requests_per_s:.0f} uploads/s of {len(jpeg) / 1000:.0f} kB; {TIMES:g} times that now")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(
                _overload(uploads(url, jpeg), server, TIMES * before.requests_per_s, 60 * MINUTES)
            )
        ended = time.monotonic()
        again_s = float("inf")
        while time.monotonic() - ended < AGAIN_S:
            rate = load(uploads(url, jpeg), server, seconds=1).requests_per_s
            if rate >= NEAR * before.requests_per_s:
                again_s = time.monotonic() - ended
                break
        say(f"answers {dict(found.answers)}, {found.unsent} found no connection free")
    seconds, wrong = 60 * MINUTES, [s for s in found.answers if s >= 500 and s != 503]
    assert not wrong, f"answers {wrong}"
    half = len(found.memory_mb) // 2
    return [
        median("uploads before", "requests/s", [before.requests_per_s]),
        *(percentile("accepted before", "ms", p, [before.latencies_ms]) for p in (50, 99)),
        median("offered", "requests/s", [found.answers.total() / seconds]),
        median("accepted (202)", "requests/s", [found.answers[202] / seconds]),
        median("refused (429)", "requests/s", [found.answers[429] / seconds]),
        median("unavailable (503)", "requests/s", [found.answers[503] / seconds]),
        *(percentile("accepted", "ms", p, [found.accepted_ms]) for p in (50, 99, 100)),
        *(percentile("refused", "ms", p, [found.refused_ms or [0.0]]) for p in (50, 99)),
        median("memory in the first half, at most", "MB", [max(found.memory_mb[:half])]),
        median("memory in the second half, at most", "MB", [max(found.memory_mb[half:])]),
        median(f"until {NEAR:g} of the rate before", "s", [again_s]),
    ]


async def _overload(
    requests: Iterator[Request], server: psutil.Process, rate: float, seconds: float
) -> Overload:
    """Send at an even rate, whether or not there were answers."""
    found, under_way = Overload(), set[asyncio.Task[None]]()
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:

        async def one(request: Request) -> None:
            began = time.perf_counter()
            async with session.request(
                request.method, request.url, headers=request.headers, data=request.body
            ) as answer:
                await answer.read()
            took_ms = (time.perf_counter() - began) * 1000
            found.answers[answer.status] += 1
            (found.accepted_ms if answer.status == request.expected else found.refused_ms).append(took_ms)

        began, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            while sent < now * rate:
                sent += 1
                if len(under_way) >= CLIENTS:
                    found.unsent += 1
                    continue
                task = asyncio.create_task(one(next(requests)))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if len(found.memory_mb) <= now:
                found.memory_mb.append(server.memory_info().rss / 1e6)
            await asyncio.sleep(0.005)
        await asyncio.gather(*under_way)
    return found
