"""One service: what it is, and its process over all its restarts."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.process import ending, kill_group, spawn

FIRST_ATTEMPTS = 4
"""Starts before a service that was never ready is given up: a port may be in use for a moment."""
FIRST_DELAY_S, MAX_DELAY_S = 0.2, 10.0
STEADY_S = 10.0
"""After that long without ending, the next end counts as the first."""
POLL_S = 0.05
MAX_LOG_BYTES = 10_000_000
TAIL_LINES = 15


@dataclass(frozen=True)
class Service:
    """A process to keep alive.

    prepare: does what must precede every start (so it must be idempotent) and returns the command.
    ready: whether it serves; asked again and again, and may take two seconds to answer.
    death_signal: what the kernel sends it when the supervisor dies without stopping it.
    """

    name: str
    prepare: Callable[[], Awaitable[list[str]]]
    ready: Callable[[], Awaitable[bool]]
    where: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout_s: float = 60
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 8
    death_signal: signal.Signals = signal.SIGKILL


class ServiceFailed(Exception):
    """A service did not become ready; the message carries the last lines of its log."""


def line(name: str, text: str) -> str:
    """What is printed about a service, in columns."""
    return f"{name:<13}{text}"


class Child:
    """Keeps one service's process alive from `start` to `stop`."""

    def __init__(
        self, service: Service, log: Path, say: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self.service = service
        self.log = log
        self._say = say
        self._changed = changed
        self._process: Process | None = None
        self._log_start = 0
        self._ready = asyncio.Event()

    @property
    def pid(self) -> int | None:
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and alive else None

    def start(self) -> None:
        self.task = asyncio.create_task(self._keep_alive())

    async def first_ready(self) -> None:
        """Return once it has been ready; raises ServiceFailed or CommandFailed when that never comes."""
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self.task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self.task.done():
            self.task.result()

    async def stop(self, *, within_s: float) -> None:
        """End it: its signal, its grace (`within_s` at most), then SIGKILL for its whole group."""
        self.task.cancel()
        await asyncio.wait({self.task})
        if self._process is None:
            return
        with suppress(TimeoutError, ProcessLookupError):
            self._process.send_signal(self.service.stop_signal)
            await asyncio.wait_for(self._process.wait(), min(self.service.stop_grace_s, within_s))
        if self._process.returncode is None:
            self._line(f"did not stop on {self.service.stop_signal.name}: killed")
        kill_group(self._process)
        await self._process.wait()
        self._changed()

    def kill(self) -> None:
        """SIGKILL for its whole group, now, and no further start."""
        self.task.cancel()
        if self._process is not None and self._process.returncode is None:
            kill_group(self._process)

    async def _keep_alive(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            self._process = await self._spawn()
            self._changed()
            why = await self._until_end(self._process, began)
            self._changed()
            failures = 1 if time.monotonic() - began > STEADY_S else failures + 1
            if failures >= FIRST_ATTEMPTS and not self._ready.is_set():
                raise self._failed(f"ended {failures} times before it was ready, last with {why}")
            # Half of it random, so that services that fell together do not come back together.
            delay = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (failures - 1)) * random.uniform(0.5, 1)  # noqa: S311
            self._line(f"ended ({why}), starts again in {delay:.1f} s")
            await asyncio.sleep(delay)

    async def _spawn(self) -> Process:
        command = await self.service.prepare()
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as output:
            output.write(
                f"--- {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} starting {self.service.name}\n".encode()
            )
            output.flush()
            self._log_start = output.tell()
            return await spawn(
                command, output=output, env=self.service.env, death_signal=self.service.death_signal
            )

    async def _until_end(self, process: Process, began: float) -> str:
        """Announce it when ready, wait for its end and say why it ended."""
        end = asyncio.create_task(process.wait())
        ready = asyncio.create_task(self._until_ready())
        try:
            await asyncio.wait(
                {end, ready}, timeout=self.service.ready_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if end.done():
                return self._reap(process)
            if not ready.done():
                late = f"not ready after {self.service.ready_timeout_s:.0f} s"
                if not self._ready.is_set():
                    raise self._failed(late)
                kill_group(process)
                await end
                return late
            ready.result()
            self._ready.set()
            self._line(f"ready in {time.monotonic() - began:.1f} s   {self.service.where}   log {self.log}")
            await end
            return self._reap(process)
        finally:
            ready.cancel()
            end.cancel()

    async def _until_ready(self) -> None:
        while not await self.service.ready():  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(POLL_S)

    def _reap(self, process: Process) -> str:
        kill_group(process)  # what it started must not hold the port or the files that its successor needs
        return ending(process)

    def _failed(self, reason: str) -> ServiceFailed:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            tail = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        return ServiceFailed("\n".join([f"{self.service.name}: {reason}; from {self.log}:", *tail]))

    def _line(self, text: str) -> None:
        self._say(line(self.service.name, text))
