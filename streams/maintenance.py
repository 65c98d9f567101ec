"""Maintenance of the view while it is written and read: few files, few snapshots, nothing left over."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import duckdb
import psycopg
from psycopg.sql import SQL, Identifier

from streams import lake, ledger, manifest
from streams.settings import Settings
from streams.statements import read_statements

STATEMENTS = read_statements("streams", "maintain.sql")
TIERS = (15_625, 125_000, 1_000_000, 8_000_000)
"""Upper ends of a file's size in bytes, by tier. What is larger stays as it is."""
TARGET_BYTES = 16_000_000
"""Of the largest files."""
FILES_A_TIER = 8
"""So many files of a tier become one of the next: each row is written again once a tier, not each time."""
INLINED_ROWS, SNAPSHOTS = 1_000, 1_000
"""Fewer are left until there are more, as flushing and expiring cost about the same for few as for many."""
MOST_SNAPSHOTS = 5_000
"""Expired in one transaction."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done, or, in a dry run, that is to be done. count: of rows, snapshots or files."""

    name: Literal["flush", "merge", "expire", "delete", "sweep"]
    count: int
    table: str = ""
    size_bytes: int = 0

    def __str__(self) -> str:
        what = {
            "flush": f"{self.table}: {self.count:,} rows from the catalog into files",
            "merge": f"{self.table}: {self.count:,} small files, {self.size_bytes / 1e6:,.3g} MB",
            "expire": f"{self.count:,} snapshots",
            "delete": f"{self.count:,} files that were replaced",
            "sweep": f"{self.count:,} files that never became part of the view",
        }
        return f"{self.name:8}{what[self.name]}"


@dataclass(frozen=True, slots=True)
class Merge:
    """Files of a table in one tier: sizes in bytes from `low` up to below `high`."""

    table: str
    low: int
    high: int
    sizes: tuple[int, ...]


def merges(sizes: Mapping[str, Sequence[int]]) -> list[Merge]:
    """What to merge, given the sizes of each table's files: tiers that hold FILES_A_TIER or more."""
    found = [
        Merge(table, low, high, tuple(size for size in each if low <= size < high))
        for table, each in sizes.items()
        for low, high in zip((0, *TIERS), TIERS, strict=False)
    ]
    return [merge for merge in found if len(merge.sizes) >= FILES_A_TIER]


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Of one generation. Nobody else uses its two connections; the catalog's is in autocommit."""

    view: duckdb.DuckDBPyConnection
    catalog: psycopg.Connection[Any]
    generation: str
    folder: str

    def steps(self, settings: Settings, *, thorough: bool, dry_run: bool = False) -> Iterator[Step]:
        """Do what is due, each step as it is asked for. Raises duckdb.Error, psycopg.Error, BaseError.

        thorough: also flush and expire what is little, and look for orphans, for which all files are listed.
        """
        now = datetime.now(UTC)
        gone, kept = now - timedelta(seconds=settings.file_grace_s), settings.snapshot_retention_s
        yield from self.flush(1 if thorough else INLINED_ROWS, dry_run=dry_run)
        yield from self.merge(dry_run=dry_run)
        yield from self.expire(now - timedelta(seconds=kept), 1 if thorough else SNAPSHOTS, dry_run=dry_run)
        yield from self.delete(gone, dry_run=dry_run)
        if thorough:
            yield from self.sweep(gone, dry_run=dry_run)

    def flush(self, least: int, *, dry_run: bool = False) -> Iterator[Step]:
        """Rows that are kept in the catalog into files, of tables that have `least` of them there."""
        counts = Counter[str]()
        for table, inlined in self._ask("inlined"):
            ((rows,),) = self._ask("rows", inlined=Identifier(inlined))
            counts[table] += rows
        for table, rows in counts.items():
            if rows >= least:
                if not dry_run:
                    with self._commit("flush"):
                        flush = "CALL ducklake_flush_inlined_data('lake', table_name => ?)"
                        self.view.execute(flush, [table]).fetchall()
                yield Step("flush", rows, table)

    def merge(self, *, dry_run: bool = False) -> Iterator[Step]:
        """Small files into larger ones, one new file a transaction, until no tier is full."""
        call = """CALL ducklake_merge_adjacent_files('lake', ?, max_compacted_files => 1,
                                                     min_file_size => ?, max_file_size => ?)"""
        while due := merges(dict(self._ask("sizes", [TIERS[-1]]))):
            for each in due:
                if dry_run:
                    yield Step("merge", len(each.sizes), each.table, sum(each.sizes))
                    continue
                # How much goes into one new file, and so the memory and the time that it takes.
                most = min(FILES_A_TIER * each.high, TARGET_BYTES)
                self.view.execute(f"SET ducklake_target_file_size = '{most // 1000}KB'")
                with self._commit("merge"):
                    done = self.view.execute(call, [each.table, each.low, each.high]).fetchall()
                files = sum(row[2] for row in done)
                if not files:
                    log.warning("%s: DuckLake merged none of %d small files", each.table, len(each.sizes))
                    return
                yield Step("merge", files, each.table, sum(each.sizes) * files // len(each.sizes))
            if dry_run:
                return

    def expire(self, older_than: datetime, least: int, *, dry_run: bool = False) -> Iterator[Step]:
        """Snapshots that nobody can want any more, where there are `least`; the newest is always kept."""
        call = "CALL ducklake_expire_snapshots('lake', older_than => ?)"
        while True:
            wanted = {"most": MOST_SNAPSHOTS, "older_than": older_than}
            ((count, next_one),) = self._ask("expirable", wanted)
            if count < least:
                return
            if not dry_run:
                self.view.execute(call, [next_one or older_than]).fetchall()
            yield Step("expire", count)
            if dry_run or next_one is None:
                return

    def delete(self, replaced_before: datetime, *, dry_run: bool = False) -> Iterator[Step]:
        """Files that were replaced so long ago that no query can read them any more."""
        call = f"CALL ducklake_cleanup_old_files('lake', older_than => ?, dry_run => {dry_run})"
        gone = self.view.execute(call, [replaced_before]).fetchall()
        if not dry_run:
            self.catalog.execute(STATEMENTS["forget"], {"generation": self.generation})
        if gone:
            yield Step("delete", len(gone))

    def sweep(self, made_before: datetime, *, dry_run: bool = False) -> Iterator[Step]:
        """Files of this generation's folder that a crash left behind before their commit."""
        old = [path for path, changed_at in manifest.listed(self.folder) if changed_at < made_before]
        orphans = self._paths("orphans", old)
        if orphans and not dry_run:
            orphans = self._paths("sweep", orphans)
            manifest.remove(self.folder, orphans)
        if orphans:
            yield Step("sweep", len(orphans))

    def _paths(self, statement: str, paths: Sequence[str]) -> list[str]:
        wanted = {"generation": self.generation, "paths": paths}
        return [path for (path,) in self.catalog.execute(STATEMENTS[statement], wanted).fetchall()]

    def _ask(self, statement: str, parameters: Any = None, **names: Identifier) -> list[Any]:
        asked = SQL(STATEMENTS[statement]).format(generation=Identifier(self.generation), **names)
        return self.catalog.execute(asked, parameters).fetchall()

    @contextmanager
    def _commit(self, message: str) -> Iterator[None]:
        manifest.forget(self.view)
        self.view.execute("BEGIN")
        try:
            yield
            files = manifest.kept(self.view, self.generation)
            ledger.say(self.view, "maintenance", message, files=files)
            self.view.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # the transaction may have ended with the error
                self.view.execute("ROLLBACK")
            raise


@contextmanager
def maintenance(settings: Settings, generation: str) -> Iterator[Maintenance]:
    """Of a generation, on connections of its own. Raises duckdb.Error and psycopg.OperationalError."""
    with (
        lake.catalog(settings) as catalog,
        lake.connect(settings, read_only=False, generation=generation) as view,
    ):
        manifest.record(view)
        yield Maintenance(view, catalog, generation, lake.place(settings, generation))
