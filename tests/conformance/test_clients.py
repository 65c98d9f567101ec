"""The clients of Triton and KServe, as released, do all that they can with our server.

Each script runs in the clients' own environment, in a process of its own: what they bring along
excludes each other and us.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.environment import interpreter
from tests.detector.running import Server, running

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def python() -> Path:
    if sys.version_info >= (3, 14):
        pytest.skip("KServe's client is for Python before 3.14")
    return interpreter("conformance", HERE / "requirements.lock")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.mark.parametrize(
    ("script", "protocol"), [("triton_http", "url"), ("triton_grpc", "grpc"), ("kserve_rest", "url")]
)
def test_a_client_that_others_wrote(python: Path, server: Server, script: str, protocol: str) -> None:
    address = getattr(server, protocol)
    ended = subprocess.run(
        [python, HERE / f"{script}.py", address], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    assert ended.stdout.endswith("all answered as the protocol says\n")
