"""The supervisor: services started in stages, kept alive, and stopped in reverse within a budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from anyio.from_thread import start_blocking_portal

from deploy.local.service import Child, Service

STOP_BUDGET_S = 14.0
"""For all services together; what is left of 15 s goes to killing and reaping."""
STAGE_RESERVE_S = 3.0
"""Kept back for each stage that stops later, however long the ones before it hang."""


class Supervisor:
    """Keeps services alive while its `async with` block runs.

    logs: folder for `NAME.log`. say: takes one line per event. changed: called with name -> pid of
    the living processes at each start and end.
    """

    def __init__(
        self,
        logs: Path,
        *,
        say: Callable[[str], None] = print,
        changed: Callable[[dict[str, int]], None] = lambda _: None,
    ) -> None:
        self._logs = logs
        self._say = say
        self._changed = changed
        self._stages: list[list[Child]] = []

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def pids(self) -> dict[str, int]:
        """The living processes by service."""
        return {child.service.name: child.pid for child in self._children() if child.pid}

    async def start(self, *services: Service) -> None:
        """Start these together and return when all are ready; a later call is a later stage.

        Raises ServiceFailed or CommandFailed when one of them does not get there.
        """
        stage = [
            Child(service, self._logs / f"{service.name}.log", self._say, lambda: self._changed(self.pids()))
            for service in services
        ]
        self._stages.append(stage)
        for child in stage:
            child.start()
        await asyncio.gather(*(child.first_ready() for child in stage))

    async def failed(self) -> None:
        """Wait for a service that can be kept alive no more, and raise why: preparing it failed."""
        done, _ = await asyncio.wait(
            [child.task for child in self._children()], return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()

    async def stop(self) -> None:
        """End all, the last stage first, within STOP_BUDGET_S even when some hang."""
        deadline = time.monotonic() + STOP_BUDGET_S
        while self._stages:
            left = deadline - time.monotonic() - STAGE_RESERVE_S * (len(self._stages) - 1)
            await asyncio.gather(*(child.stop(within_s=max(0, left)) for child in self._stages[-1]))
            self._stages.pop()

    def kill(self) -> None:
        """SIGKILL all at once; a `stop` under way then returns."""
        for child in self._children():
            child.kill()

    def _children(self) -> list[Child]:
        return [child for stage in self._stages for child in stage]


@contextmanager
def running(logs: Path, *services: Service) -> Iterator[Supervisor]:
    """The services, kept alive while a synchronous block runs.

    Raises what Supervisor.start raises. The loop runs in a thread of its own that lives as long as the
    children: the kernel ends them when the thread that forked them ends.
    """
    supervisor = Supervisor(logs, say=lambda _: None)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(supervisor):
        portal.call(supervisor.start, *services)
        yield supervisor
