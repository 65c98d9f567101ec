"""The fold on real tables: DuckDB in memory stands where the lake is."""

from __future__ import annotations

from typing import Any

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from streams import lake
from streams.errors import InvalidRecord
from streams.lake import STATEMENTS
from streams.recent import Recent
from streams.records import Record
from streams.topics import UPLOADED
from streams.views import Batch, Keys, Message, fold, keys
from tests.examples import batch, detected, failed, message, retried, uploaded
from tests.streams.strategies import RECORDS, batches, law, logs

TABLES = ("images", "detections", "objects", "failures", "retries", "unlisted")
few = settings(law, max_examples=15)
EVERY = [
    message(uploaded(attributes={"lane": "3", "": ""}), offset=4),
    message(detected()),
    message(failed(key=b"k", value=bytes(range(256)), headers=(("a", b"'}"), ("a", None)))),
    message(retried()),
    message(uploaded(), partition=1, offset=5),
    message(InvalidRecord("no framing"), UPLOADED),
]


def insert(view: duckdb.DuckDBPyConnection, known: Keys, batch: Batch) -> None:
    for table, rows in fold(known, batch).items():
        lake.insert(view, table, rows)


def empty_view() -> duckdb.DuckDBPyConnection:
    view = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    view.execute("SET TimeZone = 'UTC'")
    view.execute("ATTACH ':memory:' AS lake")
    view.execute(STATEMENTS["create_tables"])
    return view


def rows(view: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    result = view.execute(f"SELECT * FROM lake.{table}")  # noqa: S608 our names
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def types(view: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {row[0]: row[1] for row in view.execute(f"DESCRIBE {relation}").fetchall()}


@few
@given(st.lists(RECORDS, max_size=6))
def test_the_tables_give_back_what_was_folded(records: list[Record]) -> None:
    log = [message(record, offset=offset) for offset, record in enumerate(records)]
    folded = fold(Keys(), batch(log))
    with empty_view() as view:
        insert(view, Keys(), batch(log))
        for table in TABLES:
            expected = folded[table].to_pylist() if table in folded else []
            assert rows(view, table) == expected


@few
@given(logs(), st.data())
def test_any_cut_into_transactions_gives_the_same_tables(log: list[Message], data: st.DataObject) -> None:
    with empty_view() as whole, empty_view() as cut:
        insert(whole, Keys(), batch(log))
        recent = Recent(cut, most=2)
        for part in data.draw(batches(log)):
            if data.draw(st.booleans()):
                recent = Recent(cut, most=data.draw(st.integers(1, 3)))
            wanted = keys(batch(part))
            known = recent.known(cut, wanted, Keys())
            insert(cut, known, batch(part))
            recent.add(wanted, known)
        for table in TABLES:
            assert sorted(map(repr, rows(cut, table))) == sorted(map(repr, rows(whole, table)))


@pytest.mark.parametrize("table", TABLES)
def test_columns_have_the_names_and_types_of_their_table(table: str) -> None:
    """A type that differs would be cast in silence."""
    with empty_view() as view:
        view.register("folded", fold(Keys(), batch(EVERY))[table])
        assert types(view, "SELECT * FROM folded") == types(view, f"lake.{table}")
