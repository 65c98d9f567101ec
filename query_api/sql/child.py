"""The second wall: a process for one query, which has the view's files, and nothing else to reach.

`python -m query_api.sql.child` reads its request, a line of JSON, from standard input, writes the answer to
the file that it was started with (by number), and on standard output, as JSON, how it ended. It knows no
catalog: the view's files and rows are in the request, so here is no PostgreSQL, no DuckLake and no password.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import duckdb
import orjson
import pyarrow as pa

from query_api.sql.checking import MOST_DEPTH, Refused, check

BATCH_ROWS = 2_000
PIECE_ROWS = 50
"""Of a batch, as Python's objects at once: a row may be large."""
SLACK_BYTES = 512 << 20
"""Of addresses beyond the limit of memory: for stacks, and what DuckDB's own limit does not count."""
SLACK_S = 2
"""After which a process that nobody ended ends itself."""
LOST = (duckdb.IOException, duckdb.HTTPException)
"""What DuckDB raises where a file does not come, or not whole."""
MOST_MESSAGE = 1_000
READY = b"ready\n"
"""What it says before its request is expected, and its time begins."""
BROKEN = 70
"""What a process ends with that could not begin."""
Check = Callable[[duckdb.DuckDBPyConnection, str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """extensions: their files; setup: our statements with parameters; rows: the tables that these name, by
    name, as an Arrow stream in base64.

    paths: the files that may be read; bucket: whether these are in one. arrow: the answer is an Arrow stream,
    else JSON objects, `between` them. most_bytes: of the answer.
    """

    extensions: list[str]
    setup: list[tuple[str, dict[str, Any]]]
    rows: dict[str, str]
    paths: list[str]
    bucket: bool
    query: str
    parameters: dict[str, Any] | list[Any]
    arrow: bool
    between: str
    memory_mb: int
    timeout_s: float
    most_rows: int
    most_bytes: int

    def written(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)


class TooMuch(Exception):
    """The answer has more rows or bytes than it may."""


def main(checked: Check = check) -> None:
    answer = int(sys.argv[1])
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    line = sys.stdin.buffer.readline()
    if not line:
        return  # started ahead, and not needed
    request = Request(**orjson.loads(line))
    _bound(request)
    try:
        verdict = _run(request, answer, checked)
    except MemoryError:
        verdict = {"ended": "memory"}
    sys.stdout.write(json.dumps(verdict))
    sys.stdout.flush()
    os._exit(0)  # at once: what DuckDB would tidy up goes with the process


def _bound(request: Request) -> None:
    """Bounds of the kernel's, where DuckDB's own do not hold."""
    signal.setitimer(signal.ITIMER_REAL, request.timeout_s + SLACK_S)
    cpu_s = math.ceil(request.timeout_s) + SLACK_S
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.most_bytes, request.most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/statm") as sizes:  # noqa: PTH123 it is not a path of ours
        now = int(sizes.read().split()[0]) * resource.getpagesize()
        most = now + (request.memory_mb << 20) + SLACK_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _broken() -> NoReturn:
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(BROKEN)


def _run(request: Request, answer: int, checked: Check) -> dict[str, Any]:
    """How the query ended: rows, or `ended` with a detail."""
    try:
        connection = opened(request)
    except LOST as error:
        return {"ended": "unavailable", "detail": _said(error)}
    except duckdb.OutOfMemoryException:
        return {"ended": "memory"}
    except duckdb.Error:
        _broken()
    try:
        checked(connection, request.query)
        return {"rows": answered(connection, request, answer)}
    except Refused as error:
        return {"ended": "refused", "detail": str(error)}
    except TooMuch as error:
        return {"ended": "much", "detail": str(error)}
    except duckdb.OutOfMemoryException:
        return {"ended": "memory"}
    except LOST as error:
        return {"ended": "unavailable", "detail": _said(error)}
    except (duckdb.FatalException, duckdb.InternalException) as error:
        return {"ended": "failed", "detail": _said(error)}
    except (duckdb.Error, pa.ArrowException, OverflowError, ValueError, TypeError, RecursionError) as error:
        return {"ended": "sql", "detail": _said(error)}


def opened(request: Request) -> duckdb.DuckDBPyConnection:
    """A DuckDB with `images` and `circles`, that is locked and reaches no other file. Raises duckdb.Error."""
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_unsigned_extensions": True,
            "threads": 1,
            "memory_limit": f"{request.memory_mb}MiB",
            "temp_directory": "",
        }
    )
    for path in request.extensions:
        connection.load_extension(path)
    connection.execute("SET allow_unsigned_extensions = false")
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    connection.execute(f"SET python_enable_replacements = false; SET max_expression_depth = {MOST_DEPTH}")
    for name, rows in request.rows.items():
        connection.register(name, pa.ipc.open_stream(base64.b64decode(rows)).read_all())
    for statement, parameters in request.setup:
        connection.execute(statement, parameters)
    for name in request.rows:
        connection.unregister(name)
    connection.execute("SET allowed_paths = $paths", {"paths": request.paths})
    if request.bucket:  # `s3://.../a?s3_endpoint=elsewhere` would be sent elsewhere, signed
        connection.execute("SET s3_url_compatibility_mode = true")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def answered(connection: duckdb.DuckDBPyConnection, request: Request, answer: int) -> int:
    """Write the answer; how many rows it has. Raises TooMuch, and what DuckDB and Arrow raise."""
    result = connection.execute(request.query, request.parameters or None)
    rows = 0
    try:
        with open(answer, "wb", closefd=False) as file:
            batches = result.to_arrow_reader(BATCH_ROWS)
            names = apart(batches.schema.names)
            schema = pa.schema([f.with_name(name) for f, name in zip(batches.schema, names, strict=True)])
            writer = pa.ipc.new_stream(file, schema) if request.arrow else None
            for found in batches:
                batch = found.rename_columns(names)
                rows += batch.num_rows
                if rows > request.most_rows:
                    raise TooMuch(f"{request.most_rows} rows")
                if writer:
                    writer.write_batch(batch)
                else:
                    file.writelines(_objects(batch, request.between, first=rows == batch.num_rows))
            if writer:
                writer.close()
    except OSError as error:
        raise TooMuch(f"{request.most_bytes >> 20} MB") from error
    return rows


def apart(names: list[str]) -> list[str]:
    """Names of columns, each once, as JSON has them: of equal ones the later are `name_1`, `name_2`."""
    taken: list[str] = []
    for name in names:
        another, number = name, 0
        while another in taken or (number and another in names):
            number += 1
            another = f"{name}_{number}"
        taken.append(another)
    return taken


def _objects(batch: pa.RecordBatch, between: str, *, first: bool) -> Iterator[bytes]:
    for begin in range(0, batch.num_rows, PIECE_ROWS):
        for row in batch.slice(begin, PIECE_ROWS).to_pylist():
            if not first:
                yield between.encode()
            first = False
            yield orjson.dumps(row, _plain, orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    """A value as JSON has it, where orjson does not know: whole numbers that it can, bytes in base64."""
    match value:
        case Decimal():
            whole = value == value.to_integral_value() and abs(value) < 2**63
            return int(value) if whole else float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case pa.MonthDayNano():
            return _interval(*value)
    return str(value)


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """As ISO 8601 writes a duration: P1M2DT98.5S."""
    whole = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    seconds = f"T{(Decimal(nanoseconds) / 10**9).normalize():f}S" if nanoseconds or not whole else ""
    return f"P{whole}{seconds}"


def _said(error: Exception) -> str:
    return str(error)[:MOST_MESSAGE] or type(error).__name__


if __name__ == "__main__":
    main()
