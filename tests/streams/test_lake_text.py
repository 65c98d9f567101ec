"""Any text and any bytes that a message may hold come back from the lake, on a real catalog.

Commits of few rows are kept in PostgreSQL, and what is nested there as text: a `}` in a nested column once
made a table unreadable, and a NUL made a commit fail for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from deploy.local.postgres import running_postgres
from streams import lake
from streams.commit import View
from streams.ledger import Ledger
from streams.records import Record
from streams.rows import unpack_headers
from streams.settings import Settings
from tests.examples import batch, failed, message, uploaded
from tests.lakes import fresh

TEXTS = ["", "a\0b", "}", "'}, ", '{"a": [1]}', "NULL", "it's = \\", "\u200b\U0001f600"]
BYTES = [*(text.encode() for text in TEXTS), b"\\x00", bytes(range(256))]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("lake")
    with running_postgres(folder / "postgres") as url:
        yield fresh(url, folder)


def read_back(settings: Settings, record: Record, columns: str) -> tuple[Any, ...]:
    """Commit one message, then read some columns of its row on a connection of its own."""
    sent = message(record)
    with lake.connect(settings, read_only=False) as view, lake.catalog(settings) as catalog:
        at, ledger = (sent.topic, 0), Ledger(catalog, lake.live(settings))
        ledger.add({at: 0})
        View(view, ledger, shared=False).commit(batch([sent]), {at: ledger.stored()[at]}, {at: 1})
    with lake.connect(settings, read_only=True) as view:
        (row,) = view.execute(f"SELECT {columns}").fetchall()
        return tuple(row)


def test_any_text_of_an_upload_comes_back(settings: Settings) -> None:
    record = uploaded(source_id="".join(TEXTS), attributes={text: text for text in TEXTS})
    source_id, attributes = read_back(settings, record, "source_id, attributes FROM lake.images")
    assert (source_id, orjson.loads(attributes)) == (record.source_id, record.attributes)


def test_any_text_and_bytes_of_a_dead_letter_come_back(settings: Settings) -> None:
    headers = (*((text, b"1") for text in TEXTS), *(("a", data) for data in BYTES), ("a", None))
    record = failed(reason="".join(TEXTS), key=BYTES[-1], value=b"".join(BYTES), headers=headers)
    columns = "reason, message_key, message_value, headers FROM lake.failures"
    *plain, packed = read_back(settings, record, columns)
    assert plain == [record.reason, record.key, record.value]
    assert unpack_headers(packed) == headers
