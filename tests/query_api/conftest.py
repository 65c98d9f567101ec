"""A real PostgreSQL for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.postgres import running_postgres


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url
