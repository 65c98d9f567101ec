"""The lake: DuckDB tables in Parquet files with a PostgreSQL catalog (DuckLake)."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from importlib.resources import as_file, files
from importlib.util import find_spec
from typing import Any

import duckdb
import psycopg
import pyarrow as pa

from streams import lake_files, ledger
from streams.errors import LakeRefused
from streams.lake_files import quoted
from streams.settings import Settings
from streams.statements import read_statements


class _NoPandas:
    """Says at once that pandas is not installed.

    For each value of a query's parameters DuckDB tries to import it, and Python looks through all its folders
    again for what is not there: 7 ms for a list of 50 ids. (A None in `sys.modules` would say so too, but
    pyarrow takes it for pandas.)
    """

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


if find_spec("pandas") is None:
    sys.meta_path.insert(0, _NoPandas)

INLINED_ROWS = 10
"""Commits of so few rows are kept in the catalog rather than as a file; a high limit is 30 times slower."""


def connect(
    settings: Settings, *, read_only: bool, generation: str | None = None
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the lake of a generation (None: the live one) attached as `lake`.

    One connection is for one thread; give each other thread a `cursor()` of it. Its view
    `memory.main.offsets` is how far the generation is folded. Raises duckdb.Error when the catalog or the
    files' store is away or there is no view yet, LakeRefused when the store says no.
    """
    if generation is None:
        generation = live(settings)
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # Those of the locked packages: to check their signatures, too, takes half a second each time.
            "allow_unsigned_extensions": True,
        }
    )
    for extension in ("postgres_scanner", "ducklake", *lake_files.extensions(settings.lake_path)):
        connection.load_extension(bundled(extension))
    connection.execute("SET allow_unsigned_extensions = false")
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    # Its default of 4 makes DuckLake log in anew for nearly every query of a busy process.
    connection.execute("SET pg_pool_max_connections = 16")
    try:
        lake_files.reach(connection, settings.lake_path)
        attach(connection, settings, generation, read_only=read_only)
        connection.execute(STATEMENTS["offsets"].format(generation=quoted(generation)))
        if not read_only:
            # Whose commit comes second tries again: 100 ms later by default, which others wait for.
            connection.execute("SET ducklake_retry_wait_ms = 5; SET ducklake_max_retry_count = 16")
            # Commits are small and made beside the decoding: on busy cores each waited for the second thread.
            # Merged rows keep their order, too.
            connection.execute("SET threads = 1")
    except duckdb.Error as error:
        connection.close()
        raise duckdb.IOException(without_password(str(error))) from None
    except LakeRefused:
        connection.close()
        raise
    return connection


def attach(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    generation: str,
    name: str = "lake",
    *,
    read_only: bool,
) -> None:
    """Attach a generation to a connection. Raises duckdb.Error, which may quote the password."""
    options = f"DATA_PATH {quoted(place(settings, generation) + '/')}, METADATA_SCHEMA {quoted(generation)}"
    options += ", READ_ONLY" if read_only else f", DATA_INLINING_ROW_LIMIT {INLINED_ROWS}"
    where = quoted("ducklake:postgres:" + settings.catalog_url.get_secret_value())
    connection.execute(f"ATTACH {where} AS {name} ({options})")


def place(settings: Settings, generation: str) -> str:
    """Where a generation's Parquet files are."""
    return f"{settings.lake_path}/{generation}"


def with_batch(view: duckdb.DuckDBPyConnection, batch: pa.Table, statement: str) -> list[Any]:
    """The rows of a statement that names `batch`."""
    view.register("batch", batch)
    try:
        return view.execute(statement).fetchall()
    finally:
        view.unregister("batch")


def insert(view: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Add rows, columns by name."""
    with_batch(view, rows, f"INSERT INTO lake.{table} BY NAME SELECT * FROM batch")  # noqa: S608 our names


def folder(view: duckdb.DuckDBPyConnection) -> str:
    """Where the attached generation's files are: its `place`."""
    query = "SELECT value FROM ducklake_options('lake') WHERE option_name = 'data_path'"
    return str(view.execute(query).fetchall()[0][0]).rstrip("/")


def snapshot(view: duckdb.DuckDBPyConnection) -> int:
    """The newest snapshot, or the one that the transaction under way reads."""
    return int(view.execute("FROM lake.current_snapshot()").fetchall()[0][0])


def lock(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Keep what runs on this connection next from other files, URLs and settings, not from PostgreSQL."""
    lake_files.confine(connection, settings.lake_path)
    connection.execute("SET lock_configuration = true")


def catalog(settings: Settings) -> psycopg.Connection[Any]:
    """A connection in autocommit to the PostgreSQL of the catalog. Raises psycopg.OperationalError."""
    settings.require("catalog_url")
    return psycopg.connect(settings.catalog_url.get_secret_value(), connect_timeout=3, autocommit=True)


def live(settings: Settings) -> str:
    """The generation that is read and written now. Raises duckdb.IOException."""
    try:
        with catalog(settings) as connection:
            found = ledger.live(connection)
    except psycopg.OperationalError as error:
        raise duckdb.IOException(without_password(str(error))) from None
    if found is None:
        raise duckdb.IOException("the catalog has no view yet: the materializer makes it when it starts")
    return found


def create(settings: Settings) -> str:
    """Create what is missing of the live generation, once however many processes start together.

    Returns its name. Raises duckdb.Error and psycopg.Error.
    """
    with catalog(settings) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('circles'))")  # ends with the connection
        ledger.create(connection)
        generation = ledger.live(connection) or ledger.begin(connection, "live")
        create_tables(settings, connection, generation)
    return generation


def create_tables(settings: Settings, connection: psycopg.Connection[Any], generation: str) -> None:
    """Create what is missing of a generation's lake, with its fence."""
    with connect(settings, read_only=False, generation=generation) as view:
        view.execute(STATEMENTS["create_tables"])
        view.execute("CALL lake.set_option('target_file_size', '16MB')")
    ledger.fence(connection, generation)


STATEMENTS = read_statements("streams", "lake.sql")


def bundled(extension: str) -> str:
    """The extension's file in its PyPI package, so that nothing is downloaded at run time."""
    version = f"v{duckdb.__version__}"
    package = import_module(f"duckdb_extension_{extension}")
    with as_file(files(package) / "extensions" / version / f"{extension}.duckdb_extension") as path:
        return str(path)


def without_password(text: str) -> str:
    """A message of PostgreSQL's or DuckDB's without the password that they quote."""
    text = re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
    return re.sub(r"(password\s*=\s*)('[^']*'|\S+)", r"\1***", text)
