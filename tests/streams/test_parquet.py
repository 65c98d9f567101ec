"""What is written as a file says what DuckLake's own INSERT would have said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from streams import lake, manifest, parquet
from streams.errors import InvalidRecord
from streams.lake import INLINED_ROWS
from streams.manifest import File
from streams.settings import Settings
from streams.topics import UPLOADED
from streams.views import Keys, Message, Rows, fold
from tests.examples import MOMENT, batch, circles, detected, failed, message, retried, uploaded
from tests.lakes import on_disk
from tests.streams.test_lake_text import BYTES, TEXTS

COUNT = 3 * INLINED_ROWS
ODD = [0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, 0.1, 640]
TABLES = {
    "images": ("source_id", "attributes", "captured_at", "size_bytes", "width"),
    "detections": ("latency_ms", "detected_at", "replay_id", "source_offset", "model_version"),
    "objects": ("object_id", "x", "y", "radius"),
    "failures": ("reason", "message_key", "message_value", "headers", "project_id", "image_id"),
    "retries": ("image_id", "retried_at"),
    "unlisted": ("image_id", "log_offset"),
}


def everything() -> Rows:
    """More rows of each table than are kept in the catalog, with the oddest of values."""
    log: list[Message] = []
    for i in range(COUNT):
        image_id, text, data = UUID(int=i << 64), TEXTS[i % len(TEXTS)], BYTES[i % len(BYTES)]
        odd = circles(2)
        odd["y"], odd["x"] = ODD[i % len(ODD)], ODD[(i + 1) % len(ODD)]
        at = MOMENT + timedelta(microseconds=i)
        day = datetime(1 if i else 9999, 1, 1, tzinfo=UTC)
        log += [
            message(
                uploaded(
                    image_id=image_id, source_id=text, size_bytes=2**62 + i, width=1 + i * 70_000_000,
                    attributes={text: text}, captured_at=day if i % 3 else None,
                ),
                offset=i,
            ),
            message(InvalidRecord("no framing"), UPLOADED, partition=1, offset=2**40 + i),
            message(
                detected(
                    image_id=image_id, circles=odd, detected_at=at, model_version=text, latency_ms=0.1 * i,
                    replay_id=UUID(int=i) if i % 2 else None,
                )
            ),
            message(
                failed(
                    dead_letter_id=UUID(int=i), reason=text * 3000, key=None if i % 2 else data, value=data,
                    headers=((text, data),), image_id=image_id if i % 5 else None,
                )
            ),
            message(retried(dead_letter_id=UUID(int=i), retried_at=at)),
        ]  # fmt: skip
    return fold(Keys(), batch(log))


@pytest.fixture
def rows() -> Rows:
    found = everything()
    assert found.keys() == TABLES.keys()
    assert all(each.num_rows > INLINED_ROWS for each in found.values())
    return found


def written(view: duckdb.DuckDBPyConnection, rows: Rows) -> list[str]:
    view.execute("BEGIN")
    files = parquet.add(view, lake.folder(view), rows)
    view.execute("COMMIT")
    return [file.path for file in files]


def test_every_column_comes_back_as_it_went_in(view: Settings, rows: Rows) -> None:
    with lake.connect(view, read_only=False) as writer:
        written(writer, rows)
        for table, new in rows.items():
            writer.execute(f"CREATE TEMP TABLE {table} AS FROM lake.{table} LIMIT 0")
            writer.register("batch", new)
            writer.execute(f"INSERT INTO {table} BY NAME FROM batch")
            found, expected = (
                writer.execute(f"FROM {place} ORDER BY ALL").fetchall() for place in (f"lake.{table}", table)
            )
            assert list(map(repr, found)) == list(map(repr, expected))
            assert len(found) == new.num_rows


def test_what_files_say_of_their_columns_hides_no_row(view: Settings, rows: Rows) -> None:
    """The least and the greatest of a file's and of a table's values decide what a query reads at all."""
    with lake.connect(view, read_only=False) as writer:
        for begin, end in ((0, 13), (13, COUNT)):
            written(writer, {name: each.slice(begin, end - begin) for name, each in rows.items()})
        for table, columns in TABLES.items():
            writer.execute(f"CREATE TEMP TABLE {table} AS FROM lake.{table}")
            for column in columns:
                held = writer.execute(f"FROM {table} SELECT DISTINCT {column} ORDER BY 1").fetchall()
                # DuckLake asks PostgreSQL with the value itself, which cannot have a NUL there.
                asked = [value for (value,) in held if "\0" not in str(value)]
                for value, how in product(asked[:2] + asked[-2:], ("=", ">=", "<=", ">", "<")):
                    query = f"FROM {{}} SELECT count(*) WHERE {column} {how} ?"
                    found, expected = (
                        writer.execute(query.format(place), [value]).fetchall()
                        for place in (f"lake.{table}", table)
                    )
                    assert found == expected, f"{table}.{column} {how} {value!r}"


def test_a_failed_write_leaves_no_file(view: Settings, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    write = manifest.write

    def full(folder: str, path: str, data: bytes) -> File:
        if "objects" in path:
            Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
            Path(folder, path).write_bytes(data[:100])
            raise duckdb.IOException("No space left on device")
        return write(folder, path, data)

    with lake.connect(view, read_only=False) as writer:
        with monkeypatch.context() as disk:
            disk.setattr(manifest, "write", full)
            writer.execute("BEGIN")
            with pytest.raises(duckdb.IOException, match="No space left"):
                parquet.add(writer, lake.folder(writer), rows)
            writer.execute("ROLLBACK")
        assert on_disk(view) == set()
        assert set(written(writer, rows)) == on_disk(view)
