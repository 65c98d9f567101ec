"""The lake: DuckDB tables in Parquet files with a PostgreSQL catalog (DuckLake)."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa

from streams import offsets
from streams.settings import Settings
from streams.statements import read_statements

INLINED_ROWS = 10
"""Commits of so few rows are kept in the catalog rather than as a file; a high limit is 30 times slower."""


def connect(settings: Settings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the lake attached as `lake`. Raises duckdb.Error when the catalog is away.

    One connection is for one thread; give each other thread a `cursor()` of it.
    """
    settings.require("catalog_url")
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    for extension in ("postgres_scanner", "ducklake"):
        connection.load_extension(_bundled(extension, connection))
    connection.execute("SET TimeZone = 'UTC'")
    # Its default of 4 makes DuckLake log in anew for nearly every query of a busy process.
    connection.execute("SET pg_pool_max_connections = 16")
    Path(settings.lake_path).mkdir(parents=True, exist_ok=True)
    options = f"DATA_PATH {_quoted(settings.lake_path + '/')}, METADATA_SCHEMA 'lake'"
    options += ", READ_ONLY" if read_only else f", DATA_INLINING_ROW_LIMIT {INLINED_ROWS}"
    where = _quoted("ducklake:postgres:" + settings.catalog_url.get_secret_value())
    try:
        connection.execute(f"ATTACH {where} AS lake ({options})")
    except duckdb.Error as error:
        connection.close()
        raise duckdb.IOException(without_password(str(error))) from None
    return connection


def with_batch(view: duckdb.DuckDBPyConnection, batch: pa.Table, statement: str) -> list[Any]:
    """The rows of a statement that names `batch`."""
    view.register("batch", batch)
    try:
        return view.execute(statement).fetchall()
    finally:
        view.unregister("batch")


def lock(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Keep what runs on this connection next from other files, the network and the settings."""
    connection.execute(f"SET allowed_directories = [{_quoted(settings.lake_path + '/')}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def catalog(settings: Settings) -> psycopg.Connection[Any]:
    """A connection to the PostgreSQL that holds the catalog. Raises psycopg.OperationalError."""
    settings.require("catalog_url")
    return psycopg.connect(settings.catalog_url.get_secret_value(), connect_timeout=3)


def create(settings: Settings) -> None:
    """Create the lake and its tables where they are missing, once however many processes start together.

    Raises duckdb.Error and psycopg.Error.
    """
    with catalog(settings) as locked:
        locked.execute("SELECT pg_advisory_xact_lock(hashtext('lake'))")
        with connect(settings, read_only=False) as connection:
            connection.execute(STATEMENTS["create_tables"])
            connection.execute("CALL lake.set_option('target_file_size', '16MB')")
        offsets.create(locked)


STATEMENTS = read_statements("streams", "lake.sql")


def _bundled(extension: str, connection: duckdb.DuckDBPyConnection) -> str:
    """The extension's file in its PyPI package, so that nothing is downloaded at run time."""
    version = connection.execute("PRAGMA version").fetchall()[0][0]
    package = import_module(f"duckdb_extension_{extension}")
    with as_file(files(package) / "extensions" / version / f"{extension}.duckdb_extension") as path:
        return str(path)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def without_password(text: str) -> str:
    """A message of PostgreSQL's or DuckDB's without the password that they quote."""
    text = re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
    return re.sub(r"(password\s*=\s*)('[^']*'|\S+)", r"\1***", text)
