"""`python -m detector` as a process: where it listens, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess

import grpc
import httpx
import pytest

from detector.__main__ import is_loopback
from tests.detector.running import COMMAND, running


def test_refuses_other_machines_unless_told() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MODEL_SERVER_ALLOW_REMOTE"}
    ended = subprocess.run(
        [*COMMAND, "--host", "0.0.0.0", "--grpc-port", "0"],  # noqa: S104
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
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
    with running() as server:
        assert httpx.get(f"{server.url}/v2/health/live", timeout=30).json() == {"live": True}
        with grpc.insecure_channel(server.grpc) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
        server.process.send_signal(signal.SIGTERM)
        log, _ = server.process.communicate(timeout=30)
    assert server.process.returncode == 0
    assert not re.search("Traceback|GET /", log)


def test_a_port_for_grpc_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*COMMAND, "--port", "0", "--grpc-port", str(taken.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "Failed to bind" in ended.stderr


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--queue", "-1"], ["--queue", "few"]])
def test_numbers_that_make_no_sense(arguments: list[str]) -> None:
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "is not a whole number from 1 on" in ended.stderr


def test_compiles_and_ends() -> None:
    """What the image of a container is made with; here all is compiled already, or will be of use."""
    done = subprocess.run([*COMMAND, "--compile"], capture_output=True, timeout=180, text=True)
    assert (done.returncode, done.stderr) == (0, "")
