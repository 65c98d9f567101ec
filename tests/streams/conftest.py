"""A real PostgreSQL for tests of the lake, with a fresh view for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.postgres import running_postgres
from streams.settings import Settings
from tests.lakes import fresh


@pytest.fixture(scope="session")
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_postgres(tmp_path_factory.mktemp("postgres") / "postgres") as url:
        yield url


@pytest.fixture
def view(catalogs: str, tmp_path: Path) -> Settings:
    """Settings of an empty view."""
    return fresh(catalogs, tmp_path)
