"""What a query in SQL reads: the files and rows of a snapshot, and the relations over them.

The catalog is asked here, so that the process of the query needs none: who can name PostgreSQL's functions in
DuckDB can have a superuser's server start programs, on a connection that is read-only and locked, too.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.sql import SQL, Identifier, Literal

from query_api.errors import SnapshotGone, ViewUnavailable
from query_api.view.rows import COLUMNS
from streams import lake, lake_files, ledger
from streams.settings import Settings
from streams.statements import read_statements

STATEMENTS = read_statements("query_api", "sql/source.sql")
RELATIONS = read_statements("query_api", "sql/relations.sql")
ALL_ROWS = 1 << 62
BLIND = "SET disabled_optimizers = 'statistics_propagation'"
"""Least and greatest values of a file are of all projects: by them a condition that cannot hold was left out,
and with it one beside it that fails, so that a query's error told how far others' values go."""
Statement = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """setup: statements that make the relations, of the files `paths` and Arrow tables `rows` (base64)."""

    setup: Sequence[Statement]
    rows: Mapping[str, str]
    paths: Sequence[str]


def read(
    settings: Settings, project: str | None, generation: str | None = None, snapshot: int | None = None
) -> Source:
    """The view, of a generation (None: the live one) as of a snapshot (None: its newest).

    project: whose rows are seen; None: all. Raises SnapshotGone, ViewUnavailable.
    """
    try:
        with lake.catalog(settings) as catalog, catalog.transaction():
            catalog.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            generation = generation or ledger.live(catalog)
            if generation is None:
                raise ViewUnavailable("there is no view yet")
            return _read(settings, catalog, generation, snapshot, project)
    except psycopg.Error as error:
        raise ViewUnavailable("the view's catalog does not answer") from error


def _read(
    settings: Settings,
    catalog: psycopg.Connection[Any],
    generation: str,
    snapshot: int | None,
    project: str | None,
) -> Source:
    def ask(statement: str, **parts: Any) -> list[Any]:
        text = SQL(STATEMENTS[statement]).format(generation=Identifier(generation), at=at, **parts)
        return catalog.execute(text).fetchall()

    at = Literal(snapshot)
    if snapshot is None:
        ((snapshot,),) = ask("newest")
        at = Literal(snapshot)
    elif not ask("kept"):
        raise SnapshotGone(f"snapshot {snapshot} is not kept any more")
    if ask("deleted"):
        raise ViewUnavailable("rows of the lake were deleted by hand, which SQL does not see")
    place = lake.place(settings, generation)
    whole, partly = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for table, path, is_partly in ask("files"):
        (partly if is_partly else whole)[table].append(f"{place}/{path}")
    rows: dict[str, list[Any]] = {}
    for table, kept in ask("tables_of_rows"):
        if table in COLUMNS:
            found = ask("rows", columns=SQL(COLUMNS[table]), table=Identifier(kept))
            rows.setdefault(table, []).extend(found)
    setup: list[Statement] = [
        ("CREATE SCHEMA kept; CREATE SCHEMA lake", {}),
        (lake.STATEMENTS["create_tables"].replace(" lake.", " kept."), {}),
    ]
    tables = {f"rows_of_{table}": _arrow(COLUMNS[table], found) for table, found in rows.items() if found}
    for table, columns in COLUMNS.items():
        if f"rows_of_{table}" in tables:
            setup.append((f"INSERT INTO kept.{table} BY NAME FROM rows_of_{table}", {}))
        setup.append((_view(table, columns, whole[table], partly[table], snapshot), {}))
    setup += [(relation(name, project), {}) for name in ("images", "circles")]
    if project is not None:
        setup.append((BLIND, {}))
    paths = [path for table in COLUMNS for files in (whole, partly) for path in files[table]]
    return Source([*lake_files.way(settings.lake_path), *setup], tables, paths)


def relation(name: str, project: str | None) -> str:
    """The statement that makes `images` or `circles`, of a project's rows or of all.

    Where they are one project's, all that a query does comes after a LIMIT, and no condition can be moved
    below that: one that fails on a row (a cast) would tell of others', were it asked before `project_id` is.
    """
    own = "true" if project is None else f"project_id = {lake_files.quoted(project)}"
    fence = "" if project is None else f"LIMIT {ALL_ROWS}"
    images = RELATIONS["images"].replace("{own}", own)
    rows = images if name == "images" else RELATIONS["circles"].replace("{images}", images)
    return f"CREATE VIEW main.{name} AS {rows} {fence}"


def _view(table: str, columns: str, whole: Sequence[str], partly: Sequence[str], snapshot: int) -> str:
    """The statement that makes a table of its rows in the catalog, its files, and parts of others.

    In those DuckLake says of each row which snapshot it came with.
    """
    made = f"CREATE VIEW lake.{table} AS SELECT {columns} FROM kept.{table}"  # noqa: S608
    for files, which in ((whole, "true"), (partly, f"_ducklake_internal_snapshot_id <= {snapshot}")):
        if files:
            listed = ", ".join(map(lake_files.quoted, files))
            made += f" UNION ALL SELECT {columns} FROM read_parquet([{listed}]) WHERE {which}"  # noqa: S608
    return made


def _arrow(columns: str, rows: Sequence[Sequence[Any]]) -> str:
    """Rows of the catalog as an Arrow stream in base64: texts, which are bytes there, and ids are text."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        return value if value is None or isinstance(value, int | float | str) else str(value)

    values = zip(*rows, strict=True)
    table = pa.table(
        {name: pa.array(map(plain, column)) for name, column in zip(columns.split(", "), values, strict=True)}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return base64.b64encode(sink.getvalue()).decode()
