"""Options of the whole suite."""

import os
import shutil
import signal
import subprocess

import pytest
from hypothesis import settings

from deploy.local import ports

LONG = (
    "tests/integration/test_schemas_fuzz.py",
    "tests/conformance/",
    "tests/detector/v2/test_bounds.py",
    "tests/detector/v2/test_model.py",
    "tests/integration/",
    "tests/stack/",
)

settings.register_profile("untimed", deadline=None)  # machines are shared, and a first call compiles
settings.load_profile("untimed")
# A port is chosen before it is listened on: of those who run tests beside each other each has its own.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
ports.RANGE = ports.RANGE[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % workers :: workers]
# Who starts tests in the background may have made them, and so all that they start, deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("COLUMNS", None)  # which pytest sets for its workers: tables would be as wide as its terminal


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--on",
        choices=("local", "containers"),
        default="local",
        help="where the integration tests' Kafka and PostgreSQL run",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes go first, so that none begins when the others have nothing left to do."""

    def place(item: pytest.Item) -> int:
        return next((n for n, path in enumerate(LONG) if item.nodeid.startswith(path)), len(LONG))

    items.sort(key=place)


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> None:
    """Skips what needs a Docker engine, unless it is asked for and one answers."""
    if pytestconfig.getoption("--on") != "containers":
        pytest.skip("runs on containers only: make test-containers")
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
