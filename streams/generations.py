"""The views there are: what each holds, which one is live, and how one is switched to or dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from streams import lake, lake_files, ledger
from streams.errors import GenerationInUse
from streams.ledger import Ledger, Offsets
from streams.settings import Settings
from streams.statements import read_statements

STATEMENTS = read_statements("streams", "generations.sql")
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"
Catalog = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Generation:
    """A view: `building`, `live` or `retired`; its rows by table, and the bytes of its files."""

    name: str
    state: str
    made_at: datetime
    rows: dict[str, int]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a view: its next offsets, and the lake's snapshot that has all rows before them."""

    offsets: Offsets
    snapshot: int


def listed(catalog: Catalog) -> list[Generation]:
    """All there are, oldest first."""
    if ledger.live(catalog) is None:
        return []
    found = []
    for name, state, made_at in catalog.execute(STATEMENTS["listed"]).fetchall():
        try:
            rows = dict(catalog.execute(_of(name, "rows")).fetchall())
            size_bytes = catalog.execute(_of(name, "bytes")).fetchall()[0][0]
        except psycopg.errors.UndefinedTable:  # its making was interrupted
            rows, size_bytes = {}, 0
        found.append(Generation(name, state, made_at, rows, size_bytes))
    return found


def named(catalog: Catalog, name: str) -> Generation:
    """One of them. Raises ValueError when there is none of this name."""
    there = {generation.name: generation for generation in listed(catalog)}
    if name not in there:
        raise ValueError(f"there is no view {name!r}; there are: {', '.join(there) or 'none yet'}")
    return there[name]


@contextmanager
def held(catalog: Catalog) -> Iterator[None]:
    """Be the only process that builds a view. Raises GenerationInUse."""
    if catalog.execute(STATEMENTS["hold"]).fetchall() != [(True,)]:
        raise GenerationInUse("a view is being built by another process; it has to end first")
    try:
        yield
    finally:
        if not catalog.broken:
            catalog.execute(STATEMENTS["let_go"])


def point(catalog: Catalog, generation: str) -> Point:
    """Where a generation is now."""
    with catalog.transaction():  # in which both are seen as of one moment
        catalog.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        offsets = Ledger(catalog, generation).stored()
        return Point(offsets, catalog.execute(_of(generation, "snapshot")).fetchall()[0][0])


def change(catalog: Catalog, generation: str, before: str, after: str) -> None:
    """Set a generation's state from what it has to be. Raises GenerationInUse when it is another."""
    if not catalog.execute(STATEMENTS["state"], [after, generation, before]).fetchall():
        raise GenerationInUse(f"{generation} is not {before} any more")


def hold_live(catalog: Catalog, live: str) -> None:
    """Within a transaction: let no commit to the live view begin before it ends.

    Raises GenerationInUse when another one is live, or when a commit under way does not end in time.
    """
    catalog.execute(LOCK_TIMEOUT)
    try:
        found = catalog.execute(STATEMENTS["hold_live"], [live]).fetchall()
    except psycopg.errors.LockNotAvailable:
        raise GenerationInUse(f"a commit to {live} has not ended for 10 s; once more, when it has") from None
    if not found:
        raise GenerationInUse(f"{live} is no longer the live view")


def switch(catalog: Catalog, live: str, building: str) -> None:
    """Within the transaction of `hold_live`: retire the live view and make another one live."""
    change(catalog, live, "live", "retired")
    change(catalog, building, "building", "live")


def drop(settings: Settings, name: str) -> Generation:
    """Delete a view: its catalog, its offsets and its files. Returns what it was.

    Raises ValueError when there is none, GenerationInUse when it is live or in use.
    """
    with lake.catalog(settings) as catalog:
        generation = named(catalog, name)
        if generation.state == "live":
            raise GenerationInUse(f"{name} is the live view; one that is retired or building can be dropped")
        if generation.state == "building":
            with held(catalog):
                remove(settings, catalog, name)
        else:
            remove(settings, catalog, name)
    return generation


def remove(settings: Settings, catalog: Catalog, name: str) -> None:
    """Delete a view that is not live. Interrupted, it is as before but for files, and can be repeated."""
    try:
        with catalog.transaction():
            catalog.execute(LOCK_TIMEOUT)
            catalog.execute(_of(name, "drop_lake"))
            catalog.execute(STATEMENTS["forget"], [name])
            lake_files.remove(lake.place(settings, name))
    except psycopg.errors.LockNotAvailable:
        raise GenerationInUse(f"{name} is still read or written; again in a moment") from None


def _of(generation: str, statement: str) -> Any:
    return SQL(STATEMENTS[statement]).format(generation=Identifier(generation))
