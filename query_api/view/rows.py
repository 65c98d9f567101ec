"""The rows that commits added, read where they lie: in files, or in the catalog, where small ones leave them.

DuckLake's own functions know wherever rows are now, and take seven times as long for the few of a commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
from psycopg.sql import SQL, Composable, Composed, Identifier

from streams.statements import read_statements

STATEMENTS: Mapping[str, Any] = read_statements("query_api", "view/rows.sql")
COLUMNS = {
    "images": (
        "image_id, project_id, source_id, uri, sha256, content_type, width, height, size_bytes, captured_at,"
        " uploaded_at, attributes"
    ),
    "detections": (
        "image_id, project_id, model_name, model_version, circle_count, latency_ms, detected_at, replay_id"
    ),
    "objects": (
        "image_id, object_id, model_name, model_version, x, y, radius, score, x_min, y_min, x_max, y_max"
    ),
    "failures": "dead_letter_id, image_id, project_id, stage, error, reason, failed_at",
    "retries": "dead_letter_id, image_id",
    "promotions": "model_name, model_version, log_offset",
}
"""What is followed of each table."""
TOLD = ("images", "detections", "failures")
"""Tables whose rows are told of one by one, so that each one's snapshot counts."""


class Gone(Exception):
    """The commits after a snapshot can no longer be followed."""


class Rows:
    """Of one generation, on two connections of its own, which nobody else uses meanwhile."""

    def __init__(
        self, generation: str, catalog: psycopg.Connection[Any], view: duckdb.DuckDBPyConnection
    ) -> None:
        """Raises psycopg.Error, duckdb.Error."""
        self._catalog, self._view = catalog, view
        lake = Identifier(generation)
        kept = dict(catalog.execute(SQL(STATEMENTS["kept"]).format(generation=lake)).fetchall())
        self._still_there = SQL(STATEMENTS["still_there"]).format(generation=lake)
        self._schemas: dict[str, pa.Schema] = {}
        self._statements: dict[str, Composed] = {}
        for table, columns in COLUMNS.items():
            if len(kept.get(table, ())) == 1:  # else its columns were others once
                schema = self.read(f"SELECT {columns} FROM lake.{table} LIMIT 0", {}).schema  # noqa: S608
                self._schemas[table] = schema
                self._statements[table] = SQL(STATEMENTS["rows"]).format(
                    columns=SQL(", ").join(map(_selected, schema)),
                    table=Identifier(generation, kept[table][0]),
                )

    def added(
        self, table: str, files: Mapping[str, int] | None, kept: bool, first: int, last: int
    ) -> pa.Table:
        """The rows that the commits from one to another added to a table, each with its `snapshot`.

        files: those that they wrote, each with its commit's snapshot; None: not all are known. kept: whether
        rows were left in the catalog. Of tables that are not in TOLD any of the snapshots may be said. Raises
        Gone, duckdb.Error, psycopg.Error.
        """
        parts = [self._in_catalog(table, first, last)] if kept else []
        if files:
            parts.append(self._in_files(table, files))
        found = [part for part in parts if part is not None]
        if files is None or len(found) < len(parts):
            return self._wherever(table, first, last)
        return pa.concat_tables(found)

    def read(self, query: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Raises duckdb.Error."""
        return self._view.execute(query, parameters).to_arrow_table()

    def _in_catalog(self, table: str, first: int, last: int) -> pa.Table | None:
        """None where rows may have left the catalog, or lie in several places."""
        if table not in self._statements:
            return None
        asked = {"first": first, "last": last}
        rows = self._catalog.execute(self._statements[table], asked).fetchall()
        # Behind the rows: what left the catalog before they were read is seen here.
        ((still_there,),) = self._catalog.execute(self._still_there, asked).fetchall()
        return _table(self._schemas[table], rows) if still_there else None

    def _in_files(self, table: str, files: Mapping[str, int]) -> pa.Table | None:
        """None where they were merged with others and deleted since."""
        one = next(iter(files.values())) if len(files) == 1 or table not in TOLD else None
        source = "filename" if one is None else f"{one:d}::BIGINT"
        named = "read_parquet($files, filename = true)"
        query = f"SELECT {COLUMNS[table]}, {source} AS snapshot FROM {named}"  # noqa: S608 our names
        try:
            rows = self.read(query, {"files": list(files)})
        except duckdb.IOException:
            return None
        if one is not None:
            return rows
        paths = rows["snapshot"].combine_chunks().dictionary_encode()
        numbers = pa.array([files[path] for path in paths.dictionary.to_pylist()], pa.int64())
        return rows.set_column(rows.num_columns - 1, "snapshot", numbers.take(paths.indices))

    def _wherever(self, table: str, first: int, last: int) -> pa.Table:
        """By DuckLake. Raises Gone."""
        # Nothing is ever deleted, so that all changes are rows that were added.
        kind, number = ("changes", "snapshot_id") if table in TOLD else ("insertions", f"{last:d}::BIGINT")
        source = f"lake.table_{kind}('{table}', {first:d}, {last:d})"
        try:
            return self.read(f"SELECT {COLUMNS[table]}, {number} AS snapshot FROM {source}", {})  # noqa: S608
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise Gone(str(error).partition("\n")[0]) from error  # a snapshot has expired


def _selected(field: pa.Field) -> Composable:
    """A column as PostgreSQL gives it to Python: DuckLake keeps times as text there."""
    name = Identifier(field.name)
    return SQL("{}::timestamptz").format(name) if pa.types.is_timestamp(field.type) else name


def _table(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table:
    *columns, snapshots = zip(*rows, strict=True) if rows else [()] * (len(schema) + 1)
    arrays = [_array(field.type, values) for field, values in zip(schema, columns, strict=True)]
    return pa.table([*arrays, pa.array(snapshots, pa.int64())], [*schema.names, "snapshot"])


def _array(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    """Of values as the catalog has them: text as its bytes."""
    if kind == pa.uuid():
        storage = pa.array([None if value is None else value.bytes for value in values], pa.binary(16))
        return pa.ExtensionArray.from_storage(kind, storage)
    if pa.types.is_string(kind):
        values = [None if value is None else value.decode() for value in values]
    return pa.array(values, kind)
