"""Serve the models: `python -m detector --host 127.0.0.1 --port 8500`."""

from __future__ import annotations

import argparse
import ipaddress
import os
import signal
import sys

import uvicorn

from detector.server import create_app

ALLOW_REMOTE = "MODEL_SERVER_ALLOW_REMOTE"


def main() -> None:
    """Parse the command line, serve until SIGTERM or SIGINT, end with 0."""
    parser = argparse.ArgumentParser("python -m detector", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8500, help="port; 0 takes any free one")
    options = parser.parse_args()
    if not is_loopback(options.host) and os.environ.get(ALLOW_REMOTE) != "1":
        parser.error(
            f"{options.host} is reachable from other machines and this server asks nobody who"
            f" they are; set {ALLOW_REMOTE}=1 to listen there (in a container, for example)"
        )
    # uvicorn finishes what is under way, then raises the signal again for the handler it found.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    uvicorn.run(
        create_app(),
        host=options.host,
        port=options.port,
        access_log=False,
        timeout_graceful_shutdown=20,
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
