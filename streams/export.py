"""The view's tables as files for others: Parquet, CSV, JSON lines, or a COCO dataset."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import duckdb
import orjson

from streams.lake_files import quoted
from streams.statements import read_statements

SQL = read_statements("streams", "export.sql")
AT_ONCE = 10_000
"""Lines of a COCO file that are in memory at once."""


def export_table(
    view: duckdb.DuckDBPyConnection, at: int, file: Path, table: str, kind: str, filters: Mapping[str, Any]
) -> int:
    """Write the rows that a table had at a snapshot and that pass all filters; how many they are.

    They are in no promised order. kind: parquet, csv or jsonl. filters: by their names in export.sql.
    Raises ValueError for one that does not apply, duckdb.Error.
    """
    _bound(view, file)
    shape = SQL.get(f"{table}_in_{kind}", "FROM chosen")
    copy = f"COPY (WITH chosen AS ({rows(table, filters)}) {shape}) TO $file ({SQL[kind]})"
    ((count,),) = view.execute(copy, {**filters, "snapshot": at, "file": str(file)}).fetchall()
    return int(count)


def export_coco(
    view: duckdb.DuckDBPyConnection, at: int, file: Path, store: str, filters: Mapping[str, Any]
) -> tuple[int, int]:
    """Write images that one model has looked at, and the circles it found in them, as COCO; how many.

    store: the URL below which images are named. Raises ValueError when detections of several models pass the
    filters, and as `export_table`.
    """
    _bound(view, file)
    of_images = {name: value for name, value in filters.items() if name != "min_score"}
    chosen = f"WITH chosen AS ({rows('coco', of_images)}) {SQL['numbered']}"
    view.execute(f"CREATE OR REPLACE TEMP TABLE numbered AS {chosen}", {**of_images, "snapshot": at})
    models = [f"{name}:{version}" for name, version in view.execute(SQL["models"]).fetchall()]
    if len(models) > 1:
        raise ValueError(f"there are detections of {', '.join(models)}: choose one with --model")
    about = {"description": f"circles found by {', '.join(models)}", "version": f"snapshot {at}"}
    with file.open("wb") as out:
        out.write(b'{"info": ' + orjson.dumps(about))
        out.write(b',\n"categories": [{"id": 1, "name": "circle"}],\n"images": [')
        below = {"snapshot": at, "store": store.rstrip("/") + "/"}
        images = _lines(out, view.execute(SQL["coco_images"], below))
        out.write(b'],\n"annotations": [')
        least = {"snapshot": at, "min_score": filters.get("min_score", 0)}
        circles = _lines(out, view.execute(SQL["coco_annotations"], least))
        out.write(b"]}\n")
    return images, circles


def rows(what: str, filters: Mapping[str, Any]) -> str:
    """The query for what passes all filters. Raises ValueError for one that does not apply."""
    for name in filters:
        if f"{what}_{name}" not in SQL:
            raise ValueError(f"--{name.replace('_', '-')} does not apply to {what}")
    conditions = " AND ".join(SQL[f"{what}_{name}"] for name in filters)
    return f"{SQL[what]} WHERE {conditions}" if conditions else SQL[what]


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Where to write a file that becomes `target` when the block ends well; else nothing of it is left."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a folder: name the file to write", str(target))
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        part = Path(folder, target.name)
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)


def _bound(view: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Let memory not grow with what is written; what DuckDB has to sort or join may spill beside the file."""
    view.execute("SET preserve_insertion_order = false")
    view.execute(f"SET temp_directory = {quoted(str(file.parent))}")


def _lines(out: IO[bytes], found: duckdb.DuckDBPyConnection) -> int:
    """Write the only column of a result as members of a JSON array; how many there were."""
    count = 0
    while some := found.fetchmany(AT_ONCE):
        out.write(b",\n" if count else b"\n")
        out.write(",\n".join(line for (line,) in some).encode())
        count += len(some)
    return count
