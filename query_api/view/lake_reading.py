"""Reading the lake itself: what is older than the window, and what was."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import duckdb

from query_api.errors import TooLong, ViewUnavailable
from streams import lake
from streams.errors import LakeRefused
from streams.settings import Settings

LOOK_S = 1.0
"""Between looks for another generation that went live, where nobody says which one to read."""
LOST = (
    duckdb.IOException, duckdb.CatalogException, duckdb.TransactionException, duckdb.ConnectionException,
    duckdb.FatalException, duckdb.InternalException, LakeRefused,
)  # fmt: skip
"""What a connection raises that will not come to itself again; and an error of no kind, for a generation that
is dropped meanwhile."""
NAMED = re.compile(r"\$(\w+)")
Answer = TypeVar("Answer")
Fetch = Callable[[duckdb.DuckDBPyConnection], Answer]


class LakeReading:
    """One connection to one generation, shared by threads. All its reads raise ViewUnavailable, TooLong."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._attached_to, self._live, self._looked = "", "", -math.inf

    def newest(self, text: str, values: Mapping[str, Any], fetch: Fetch[Answer]) -> Answer:
        """The answer to a query of the live generation as it is now."""
        return self.near(None, lambda _: text, values, fetch)

    def near(
        self,
        at: tuple[str | None, int | None] | None,
        text: Callable[[int | None], str],
        values: Mapping[str, Any],
        fetch: Fetch[Answer],
    ) -> Answer:
        """The answer to the query that `text` makes for a snapshot, None: for what is newest.

        at: a generation, None: the live one, and its snapshot, None: its newest. Where it is gone, the newest
        one of the live generation is read.
        """
        known = at or (None, None)
        for attempt, (generation, snapshot) in enumerate((known, known, (None, None))):
            connection = None
            try:
                connection = self._attach(generation)
                with connection.cursor() as cursor, limited(cursor, self._settings.read_timeout_s):
                    cursor.execute("SET arrow_lossless_conversion = true")
                    return fetch(execute(cursor, text(snapshot), values))
            except duckdb.InvalidInputException as error:
                if snapshot is None or "snapshot" not in str(error):
                    raise
            except (duckdb.Error, LakeRefused) as error:
                if not isinstance(error, LOST) and type(error) is not duckdb.Error:
                    raise  # it is the query's
                # A snapshot from before there were tables says nothing of the connection.
                if snapshot is None or not isinstance(error, duckdb.CatalogException):
                    self._forget(connection)
                if attempt == 2:
                    raise ViewUnavailable("the view's catalog or file store does not answer") from error
        raise AssertionError("unreachable")

    def _attach(self, generation: str | None) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if generation is None:
                if time.monotonic() - self._looked > LOOK_S:
                    self._live, self._looked = lake.live(self._settings), time.monotonic()
                generation = self._live
            if self._connection is None or generation != self._attached_to:
                self._connection = lake.connect(self._settings, read_only=True, generation=generation)
                self._attached_to = generation
            return self._connection

    def _forget(self, connection: duckdb.DuckDBPyConnection | None) -> None:
        with self._lock:
            if connection is self._connection:
                self._connection = None  # other threads may still read from it; it closes with the last
                self._looked = -math.inf


@contextmanager
def limited(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Stop what runs on a connection after some time. Raises TooLong."""
    timer = threading.Timer(seconds, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise TooLong(f"reading took longer than {seconds:g} s") from error
    finally:
        timer.cancel()


def execute(
    cursor: duckdb.DuckDBPyConnection, text: str, values: Mapping[str, Any]
) -> duckdb.DuckDBPyConnection:
    """Run a query with those of some values that it names, as DuckDB takes no others."""
    return cursor.execute(text, {name: values[name] for name in set(NAMED.findall(text))})
