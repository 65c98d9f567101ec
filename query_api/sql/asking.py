"""Asking: a process for each query, bounded in number and time, which is gone when its answer is there."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import orjson

from query_api import apart
from query_api.errors import Problem, ViewUnavailable
from query_api.sql.child import BROKEN, READY, Request
from query_api.stopping import Stopping
from streams import lake_files
from streams.settings import Settings

MOST_BYTES = 64 << 20
"""Of one answer, as JSON or Arrow: it is a file without a name, where temporary files are (memory, maybe)."""
START_S = 30
"""For a process to come to wait for its request."""
RETRY_AFTER_S = "1"
KEPT = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""What of the environment the process of a query has; and AWS_*, where the lake is in a bucket."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """rows: how many `file` has, which is at its beginning."""

    rows: int
    file: IO[bytes]


@dataclass(frozen=True, slots=True)
class Started(apart.Started):
    """file: for its answer."""

    file: IO[bytes]

    async def drop(self) -> None:
        self.file.close()
        await apart.end(self.process)


class Asking:
    """Not for threads."""

    def __init__(self, settings: Settings, stopping: Stopping) -> None:
        self._settings, self._stopping = settings, stopping
        self.ahead = apart.Ahead(partial(_start, settings), stopping)
        self._under_way = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place while the block runs. Raises Problem 429 where there is none."""
        if self._under_way >= self._settings.sql_at_once:
            raise Problem(
                429,
                f"{self._under_way} queries are under way, as many as this API takes at once (SQL_AT_ONCE)",
                {"Retry-After": RETRY_AFTER_S},
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def answer(self, request: Request, gone: Callable[[], Awaitable[None]]) -> Answer:
        """The query's answer, in a file to be closed. gone: returns when nobody waits for it any more.

        Raises Problem 400, 422, 503, 504; ViewUnavailable.
        """
        started = await self.ahead.take()
        try:
            limit_s = self._settings.sql_timeout_s
            said = await apart.talk(started.process, request.written(), limit_s, self._stopping, gone)
            if said is None:
                raise _too_slow(limit_s)
            return Answer(_rows(started.process.returncode, *said, request), started.file)
        except BaseException:
            started.file.close()
            raise
        finally:
            await apart.end(started.process)
            self.ahead.prepare()


async def _start(settings: Settings) -> Started:
    """A process that waits for its request. Raises OSError, which TimeoutError is, too."""
    bucket = lake_files.in_bucket(settings.lake_path)
    own = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or (bucket and name.startswith("AWS_"))
    }
    file = tempfile.TemporaryFile()  # noqa: SIM115 it is the answer's
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "query_api.sql.child", str(file.fileno()),
            stdin=PIPE, stdout=PIPE, stderr=PIPE, pass_fds=(file.fileno(),), env=own,
        )  # fmt: skip
    except BaseException:
        file.close()
        raise
    assert process.stdout
    try:
        async with asyncio.timeout(START_S):
            if await process.stdout.readline() == READY:
                return Started(process, file)
        raise ChildProcessError("the process of a query ended at its start")
    except BaseException:
        file.close()
        await apart.end(process)
        raise


def _too_slow(limit_s: float) -> Problem:
    return Problem(504, f"the query takes longer than {limit_s:g} s (SQL_TIMEOUT_S): ask for less")


def _rows(returncode: int | None, out: bytes, error: bytes, request: Request) -> int:
    """How many rows the answer has. Raises Problem 400, 422, 504, ViewUnavailable."""
    if returncode == BROKEN:
        raise RuntimeError(f"the process of a query could not begin: {error.decode(errors='replace')}")
    if returncode or not out:
        log.error("a query ended its process (%s): %s", returncode, error.decode(errors="replace")[-2_000:])
        if returncode in (-signal.SIGALRM, -signal.SIGXCPU):
            raise _too_slow(request.timeout_s)
        raise Problem(422, "the query ended the process that it ran in: it needs too much memory, or depth")
    said: dict[str, Any] = orjson.loads(out)
    detail = said.get("detail", "")
    match said.get("ended"):
        case None:
            return int(said["rows"])
        case "sql":
            raise Problem(400, detail)
        case "refused":
            raise Problem(422, detail)
        case "memory":
            raise Problem(
                422, f"the query needs more than {request.memory_mb} MB (SQL_MEMORY_MB): ask for less"
            )
        case "much":
            raise Problem(422, f"the answer has more than {detail}: ask for less, by LIMIT or GROUP BY")
        case "unavailable":
            log.warning("a query could not read the view: %s", detail)
            raise ViewUnavailable("a file of the view cannot be read")
    log.error("DuckDB failed on a query: %s", detail)
    raise Problem(422, f"DuckDB fails on this query: {detail.partition(chr(10))[0]}")
