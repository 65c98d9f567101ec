"""The lake: its named statements, and what it says when its catalog is away."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr

from streams import lake
from streams.errors import MissingSetting
from streams.settings import Settings
from streams.statements import named

SQL = """-- About the file.

-- name: first
-- What it is for.
SELECT 1;

-- name: second
SELECT ';-- name: not_one';
"""


def test_statements_are_found_by_the_name_above_them() -> None:
    found = named(SQL)
    with duckdb.connect() as connection:
        answers = {name: connection.execute(sql).fetchall() for name, sql in found.items()}
    assert answers == {"first": [(1,)], "second": [(";-- name: not_one",)]}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://us%40er:se%40cret@127.0.0.1:1/x?connect_timeout=1",
        "host=127.0.0.1 port=1 user=us password=se%40cret dbname=x connect_timeout=1",
    ],
    ids=["url", "keywords"],
)
def test_a_catalog_that_is_away_is_named_without_its_password(url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, catalog_url=SecretStr(url))
    with pytest.raises(duckdb.Error) as raised:
        lake.connect(settings, read_only=True)
    assert "127.0.0.1" in str(raised.value)
    assert "cret" not in str(raised.value)


def test_a_catalog_that_is_not_set_is_named() -> None:
    with pytest.raises(MissingSetting, match="CATALOG_URL is not set"):
        lake.connect(Settings(catalog_url=SecretStr("")), read_only=True)
