"""A small app in several processes, for tests: PORT COUNT DRAIN_S [fails]."""

from __future__ import annotations

import asyncio
import os
import sys
from socket import socket

from fastapi import FastAPI

from query_api import serving
from query_api.processes import Processes
from query_api.stopping import Stopping
from streams.settings import Settings


def serve(settings: Settings, listening: socket) -> None:
    """What each process does: tell its id, at once or after a while."""
    app = FastAPI()
    app.state.stopping = Stopping()

    @app.get("/pid")
    async def pid() -> int:
        return os.getpid()

    @app.get("/told")
    async def told() -> bool:
        return bool(app.state.stopping.told)

    @app.get("/work")
    async def work() -> int:
        await asyncio.sleep(1.5)
        return os.getpid()

    serving.run(app, settings, listening)


def fail(settings: Settings, listening: socket) -> None:
    raise SystemExit(3)


if __name__ == "__main__":
    chosen = Settings(
        api_port=int(sys.argv[1]), api_processes=int(sys.argv[2]), drain_s=float(sys.argv[3]), auth="off"
    )
    sys.exit(Processes(chosen, fail if sys.argv[4:] else serve).keep())
