"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--on",
        choices=("local", "containers"),
        default="local",
        help="where the integration tests' Kafka and PostgreSQL run",
    )
