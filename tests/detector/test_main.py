"""`python -m detector` as a process: where it listens, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from detector.__main__ import is_loopback

COMMAND = [sys.executable, "-m", "detector"]


def test_refuses_other_machines_unless_told() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MODEL_SERVER_ALLOW_REMOTE"}
    ended = subprocess.run(
        [*COMMAND, "--host", "0.0.0.0"],  # noqa: S104
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ended.returncode == 2
    assert "MODEL_SERVER_ALLOW_REMOTE=1" in ended.stderr


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_serves_and_ends_cleanly_on_sigterm() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [*COMMAND, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until_live(f"http://127.0.0.1:{port}/v2/health/live")
        server.send_signal(signal.SIGTERM)
        log, _ = server.communicate(timeout=10)
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0
    assert not re.search("Traceback|GET /", log)


def wait_until_live(url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert httpx.get(url).json() == {"live": True}
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server did not come up")
