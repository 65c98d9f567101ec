"""A batch to the view: rows and offsets in one transaction, on a thread beside the reading."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Self

import duckdb
import psycopg

from streams import lake, parquet
from streams.errors import StaleWriter
from streams.home import strays
from streams.ledger import Ledger, Offsets
from streams.recent import Recent
from streams.views import Batch, Keys, fold, keys

log = logging.getLogger(__name__)


class View:
    """The view as one writer has it: its tables, its ledger, and which keys it holds.

    shared: others write, too, from other partitions. Whatever may add keys that this one does not know of
    begins a new epoch: a stray key, a writer that comes, a partition that is added. A commit of an epoch
    before fails, the keys are read anew, and it is done again.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, ledger: Ledger, *, shared: bool) -> None:
        self._connection, self._ledger, self._shared = connection, ledger, shared
        self._folder = lake.folder(connection)
        ledger.begin_epoch()
        self._learn()

    def _learn(self) -> None:
        self._standing = self._ledger.standing()  # before the keys: what comes between is looked up
        self._recent = Recent(self._connection)

    def commit(self, batch: Batch, offsets: Offsets, behind: Offsets) -> Offsets:
        """Fold a batch, read from `offsets` on, into the view in one transaction; returns `behind`.

        behind: the offset behind the batch's last message, by partition. Raises StaleWriter when the view
        is no longer at `offsets`, duckdb.Error and psycopg.Error when the catalog fails.
        """
        wanted = keys(batch)
        while not self._committed(batch, wanted, offsets, behind):
            log.info("another writer was first; once more")
            self._shared = True  # one that was alone, slept and woke may be so no more
            self._learn()
        return behind

    def _committed(self, batch: Batch, wanted: Keys, offsets: Offsets, behind: Offsets) -> bool:
        """Whether it could be committed; False when the view may hold keys that this writer does not know."""
        view, ledger, standing = self._connection, self._ledger, self._standing
        astray = strays(batch, standing.partitions) if self._shared else Keys()
        with ledger.turn() if astray else nullcontext():
            view.execute("BEGIN")
            try:
                after = lake.snapshot(view) if astray else None
                known = self._recent.known(view, wanted, astray)
                new = fold(known, batch)
                files = parquet.add(view, self._folder, new) if new else None
                if self._shared and not astray:
                    ledger.wait_for_turns()
                ledger.advance(view, standing.epoch, offsets, behind, files=files, after=after)
                view.execute("COMMIT")
            except (duckdb.Error, psycopg.errors.RaiseException) as error:
                _roll_back(view)
                now = ledger.stored()
                moved = [f"{topic}[{p}]" for topic, p in behind if now.get((topic, p)) != offsets[topic, p]]
                if moved:
                    raise StaleWriter(
                        f"another materializer has folded on from {', '.join(moved)}"
                    ) from error
                if ledger.standing() == standing and after in (None, lake.snapshot(view)):
                    raise
                return False
            except BaseException:
                _roll_back(view)
                raise
        self._recent.add(wanted, known)
        if astray and new:
            self._standing = standing.next_epoch()
        return True


class Writer:
    """Commits batches in turn, each while the next is read and decoded.

    Nobody else uses its view. What a commit raises is raised by the next call after it.
    """

    def __init__(self, view: View, offsets: Offsets, linger_s: float) -> None:
        """offsets: where the view is; linger_s: longest rest after a commit, else as long as it took."""
        self._view, self._offsets = view, dict(offsets)
        self._linger_s, self._due = linger_s, 0.0
        self._thread = ThreadPoolExecutor(1, "commit")
        self._committing: Future[Offsets] | None = None
        self._committed: Offsets = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self.finish()

    def free(self) -> bool:
        """Whether a batch would be written at once."""
        done = self._committing is None or self._committing.done()
        return done and time.monotonic() >= self._due

    def put(self, batch: Batch, behind: Offsets) -> None:
        """Let a batch be written, after the one before. behind: the offsets behind its last messages.

        Raises what `View.commit` raised for the one before.
        """
        self.finish()
        at = dict(self._offsets)
        self._committing = self._thread.submit(self._commit, batch, at, behind)
        self._offsets |= behind

    def _commit(self, batch: Batch, at: Offsets, behind: Offsets) -> Offsets:
        began = time.monotonic()
        try:
            return self._view.commit(batch, at, behind)
        finally:
            ended = time.monotonic()
            self._due = ended + min(ended - began, self._linger_s)

    def committed(self) -> Offsets:
        """The offsets that commits reached since this was asked last. Raises what `View.commit` raised."""
        if self._committing and self._committing.done():
            self.finish()
        told, self._committed = self._committed, {}
        return told

    def finish(self) -> None:
        """Return once nothing is being written. Raises what `View.commit` raised."""
        if self._committing:
            ended, self._committing = self._committing, None
            self._committed |= ended.result()


def _roll_back(view: duckdb.DuckDBPyConnection) -> None:
    try:
        view.execute("ROLLBACK")
    except duckdb.Error:
        log.debug("nothing to roll back: the transaction ended with its error")
