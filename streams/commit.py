"""A batch to the view: rows and offsets in one transaction, on a thread beside the reading."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import duckdb
import psycopg

from streams import lake
from streams.errors import StaleWriter
from streams.ledger import Ledger, Offsets
from streams.recent import Recent
from streams.views import Batch, Keys, fold, keys

log = logging.getLogger(__name__)


class Writer:
    """Commits batches in turn, each while the next is read and decoded.

    Nobody else uses its connection. What a commit raises is raised by the next call after it.
    """

    def __init__(
        self, view: duckdb.DuckDBPyConnection, ledger: Ledger, offsets: Offsets, linger_s: float
    ) -> None:
        """offsets: where the view is; linger_s: the least time between the beginnings of two commits."""
        self._view, self._ledger, self._recent = view, ledger, Recent(view)
        self._offsets, self._linger_s, self._due = dict(offsets), linger_s, 0.0
        self._thread = ThreadPoolExecutor(1, "commit")
        self._committing: Future[Offsets] | None = None
        self._committed: Offsets = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._finish()

    def free(self) -> bool:
        """Whether a batch would be written at once."""
        done = self._committing is None or self._committing.done()
        return done and time.monotonic() >= self._due

    def put(self, batch: Batch, behind: Offsets) -> None:
        """Let a batch be written, after the one before. behind: the offsets behind its last messages.

        Raises what `commit` raised for the one before.
        """
        self._finish()
        self._due = time.monotonic() + self._linger_s
        at = dict(self._offsets)
        self._committing = self._thread.submit(
            commit, self._view, self._ledger, self._recent, batch, behind, at
        )
        self._offsets |= behind

    def committed(self) -> Offsets:
        """The offsets that commits reached since this was asked last. Raises what `commit` raised."""
        if self._committing and self._committing.done():
            self._finish()
        told, self._committed = self._committed, {}
        return told

    def _finish(self) -> None:
        if self._committing:
            ended, self._committing = self._committing, None
            self._committed |= ended.result()


def commit(
    view: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    recent: Recent,
    batch: Batch,
    advanced: Offsets,
    offsets: Offsets,
) -> Offsets:
    """Fold a batch, read from `offsets` on, into the view in one transaction; returns `advanced`.

    advanced: the offset behind the batch's last message, by partition. Raises StaleWriter when the view is
    no longer at `offsets`, duckdb.Error and psycopg.OperationalError when the catalog fails.
    """
    wanted = keys(batch)
    view.execute("BEGIN")
    try:
        rows = insert(view, recent.known(view, wanted), batch)
        ledger.advance(view, offsets, advanced, rows=rows)
        view.execute("COMMIT")
    except (duckdb.Error, psycopg.errors.RaiseException) as error:
        _roll_back(view)
        now = ledger.stored()
        moved = [f"{topic}[{p}]" for topic, p in advanced if now.get((topic, p)) != offsets[topic, p]]
        if moved:
            raise StaleWriter(f"another materializer has folded on from {', '.join(moved)}") from error
        raise
    except BaseException:
        _roll_back(view)
        raise
    recent.add(wanted)
    return advanced


def insert(view: duckdb.DuckDBPyConnection, known: Keys, batch: Batch) -> bool:
    """Add the rows of a batch to a view that has `known`; whether there were any."""
    new = fold(known, batch)
    for table, rows in new.items():
        lake.with_batch(view, rows, f"INSERT INTO lake.{table} BY NAME SELECT * FROM batch")  # noqa: S608 our names
    return bool(new)


def _roll_back(view: duckdb.DuckDBPyConnection) -> None:
    try:
        view.execute("ROLLBACK")
    except duckdb.Error:
        log.debug("nothing to roll back: the transaction ended with its error")
