"""`python -m detector` as a process on free ports of this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx

from deploy.local.ports import free_ports

COMMAND = [sys.executable, "-m", "detector"]


class Server(NamedTuple):
    process: subprocess.Popen[str]
    url: str
    grpc: str


@contextmanager
def running(*arguments: str) -> Iterator[Server]:
    """A server that is ready, killed when the block ends if it runs then."""
    port, grpc_port = free_ports(2)
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port), "--grpc-port", str(grpc_port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = Server(process, f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}")
    try:
        wait_until_ready(server)
        yield server
    finally:
        process.kill()
        process.communicate()


def wait_until_ready(server: Server, timeout_s: float = 240) -> None:
    """A first start compiles. Raises AssertionError, with what the server said if it ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.process.communicate()[0]
        try:
            assert httpx.get(f"{server.url}/v2/health/ready").json() == {"ready": True}
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not come up")
