"""New rows of the view into a transaction: as files of its own, or, where they are few, into the catalog.

DuckLake's INSERT would write the same files; it takes twice the CPU, and does not say which it wrote.
"""

from __future__ import annotations

from contextlib import suppress

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import uuid_utils.compat as uuids
from obstore.exceptions import BaseError

from streams import lake, manifest
from streams.manifest import File
from streams.views import Rows

ROW_GROUP_ROWS = 122_880
"""DuckDB's own: what one thread of a reader takes at a time."""
REPEATED = ["project_id", "source_id", "content_type", "model_name", "model_version", "stage", "error"]
"""Columns of few values. Ids and numbers are not worth the look-up of each in a dictionary."""


def add(view: duckdb.DuckDBPyConnection, folder: str, new: Rows) -> list[File]:
    """Add rows to the transaction under way; the files that this took, which would survive a power cut.

    folder: the generation's. Raises duckdb.Error, and leaves no file then.
    """
    files: list[File] = []
    paths: list[str] = []
    try:
        for table, rows in new.items():
            if rows.num_rows <= lake.INLINED_ROWS:
                lake.insert(view, table, rows)
                continue
            paths.append(f"main/{table}/circles-{uuids.uuid7()}.parquet")
            files.append(manifest.write(folder, paths[-1], encoded(rows)))
            view.execute("CALL ducklake_add_data_files('lake', ?, ?)", [table, f"{folder}/{paths[-1]}"])
    except BaseException:
        # A disk that is full is tried again and again.
        with suppress(OSError, BaseError):
            manifest.remove(folder, paths)
        raise
    return files


def encoded(rows: pa.Table) -> bytes:
    """Rows as a Parquet file."""
    file = pa.BufferOutputStream()
    repeated = [name for name in REPEATED if name in rows.column_names]
    pq.write_table(rows, file, ROW_GROUP_ROWS, use_dictionary=repeated, store_schema=False)
    return bytes(file.getvalue())
