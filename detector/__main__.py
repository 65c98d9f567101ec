"""Serve the models: `python -m detector --host 127.0.0.1 --port 8500 --grpc-port 8501`."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import os
import signal
import sys

import uvicorn

from detector.server import create_app
from detector.serving.limits import Limits
from detector.serving.memory import keep_buffers
from detector.serving.service import Service

ALLOW_REMOTE = "MODEL_SERVER_ALLOW_REMOTE"


def main() -> None:
    """Parse the command line, serve until SIGTERM or SIGINT, end with 0."""
    defaults = Limits()
    parser = argparse.ArgumentParser("python -m detector", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8500, help="port; 0 takes any free one")
    parser.add_argument("--grpc-port", type=int, help="port for gRPC on the same address; none: no gRPC")
    parser.add_argument(
        "--workers", type=positive, default=defaults.workers, help="requests worked on at once: one per core"
    )
    parser.add_argument(
        "--queue",
        type=positive,
        default=defaults.waiting,
        help="requests that may wait; beyond them 503: four per core",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="only compile what is not yet, to NUMBA_CACHE_DIR if that is set",
    )
    options = parser.parse_args()
    if options.compile:
        asyncio.run(compile_models())
        return
    if not is_loopback(options.host) and os.environ.get(ALLOW_REMOTE) != "1":
        parser.error(
            f"{options.host} is reachable from other machines and this server asks nobody who"
            f" they are; set {ALLOW_REMOTE}=1 to listen there (in a container, for example)"
        )
    keep_buffers()
    # uvicorn finishes what is under way, then raises the signal again for the handler it found.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    host = f"[{options.host}]" if ":" in options.host else options.host
    uvicorn.run(
        create_app(
            Limits(workers=options.workers, waiting=options.queue),
            None if options.grpc_port is None else f"{host}:{options.grpc_port}",
        ),
        host=options.host,
        port=options.port,
        access_log=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=20,
    )


async def compile_models() -> None:
    service = Service(Limits())
    try:
        await service.warm_up()
    finally:
        service.workers.close()


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
