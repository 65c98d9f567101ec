"""A run: clients of a stack whose API processes are killed while its view's files are merged and deleted."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from random import Random

import psutil

from streams.settings import Settings
from tests.histories.clients import Clients, connections, now
from tests.histories.history import History
from tests.histories.judge import Violation

PROCESSES = 4
SOURCES = [f"camera-{n}" for n in range(4)]
WALKERS = 2
DISTURBED = {
    "mode": "dummy",
    "api_processes": PROCESSES,
    "log_level": "WARNING",
    "window_images": 300,  # so that what is older is read from the lake
    "maintain_interval_s": 0.5,
    "snapshot_retention_s": 5.0,
    "file_grace_s": 30.0,
}
"""Settings of a run."""


def living(api: psutil.Process) -> list[int]:
    """The ids of the processes that answer: forks of the one that the API's parent has for that."""
    with suppress(psutil.NoSuchProcess):
        forks = [fork for child in api.children() for fork in child.children()]
        return [fork.pid for fork in forks if fork.status() != psutil.STATUS_ZOMBIE]
    return []


async def happened(settings: Settings, api_pid: int, seconds: float, random: Random) -> History:
    """What clients saw in so many seconds. api_pid: of the parent of the API's processes."""
    history, over, api = History(), time.monotonic() + seconds, psutil.Process(api_pid)
    async with connections() as http, asyncio.TaskGroup() as group:
        clients = Clients(settings, http, history, over)
        for source in SOURCES:
            group.create_task(clients.upload_and_read(source, Random(random.random())))
        for _ in range(WALKERS):
            group.create_task(clients.walk(Random(random.random()), SOURCES))
        while time.monotonic() < over:
            await asyncio.sleep(random.uniform(1, 5))
            if processes := living(api):
                with suppress(ProcessLookupError):
                    os.kill(random.choice(processes), signal.SIGKILL)
                    history.killed.append(now())
    return history


def told(history: History, found: list[Violation]) -> str:
    """What a run came to, in lines."""
    uploads = Counter(upload.answer for upload in history.uploads)
    reads = Counter((read.kind, read.answer) for read in history.reads)
    tries = Counter(answer for walk in history.walks for answer in walk.tries)
    rows = sum(len(page) for walk in history.walks for page in walk.pages)
    took_ms = sorted((read.end - read.begin).total_seconds() * 1000 for read in history.reads) or [0]
    middle, high = (took_ms[int(len(took_ms) * share)] for share in (0.5, 0.99))
    lines = [
        f"{len(history.killed)} API processes killed",
        f"{len(history.uploads):,} uploads: {_counted(uploads)}",
        f"{len(history.reads):,} reads with a position, p50 / p99 {middle:.0f} / {high:.0f} ms:",
        *(
            f"  {kind:<8} {_counted(Counter({a: n for (k, a), n in reads.items() if k == kind}))}"
            for kind in ("image", "list", "objects")
        ),
        f"{len(history.walks):,} walks over {rows:,} rows: pages {_counted(tries)}",
        f"{len(found)} violations: {_counted(Counter(violation.kind for violation in found))}",
        *(f"  {violation.kind}: {violation.what}"[:600] for violation in found[:10]),
    ]
    return "\n".join(lines)


def _counted(counter: Counter[int] | Counter[str]) -> str:
    return ", ".join(f"{what or 'cut'} {n:,}" for what, n in sorted(counter.items(), key=str)) or "none"
