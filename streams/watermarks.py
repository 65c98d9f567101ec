"""Watermarks: up to which upload of each partition every one is detected or failed.

An upload is resolved when a detection, of whatever model version, or a dead letter names its image; bytes
that are no record, when a dead letter names their place. What is resolved stays so: an image that is retried
keeps the outcome that it had. So a watermark never falls, and the last one known bounds the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb

from streams import lake
from streams.ledger import Ledger
from streams.topics import UPLOADED

Watermarks = dict[int, int]
"""By partition of `images.uploaded`: every upload before this offset is resolved."""

FIRST_LOOK, MOST_LOOKED_AT = 4_096, 65_536
"""Offsets of a partition that are looked at in one query: the first time, and after looks that found none."""


def current(view: duckdb.DuckDBPyConnection, ledger: Ledger) -> Watermarks:
    """The watermarks of a view now; a partition without unresolved uploads has its next offset to fold.

    Only uploads behind the watermark known last are looked at, and of those no more than up to the first
    unresolved ones. What is found is stored for the next time. Raises duckdb.Error, psycopg.Error.
    """
    # The offsets before the tables: these then have every row before those.
    rows = ledger.watermarks(UPLOADED.name)
    ends = {partition: next_offset for partition, next_offset, _ in rows}
    known = {partition: watermark for partition, _, watermark in rows if watermark is not None}
    if known.keys() != ends.keys():
        begins = dict(view.execute(lake.STATEMENTS["first_uploads"]).fetchall())
        known = {p: min(begins.get(p, end), end) for p, end in ends.items()} | known
        ledger.raise_watermarks(known)
    for found in moved(view, known, ends):
        ledger.raise_watermarks(found)
        known |= found
    return known


def moved(
    view: duckdb.DuckDBPyConnection,
    known: Mapping[int, int],
    ends: Mapping[int, int],
    most: tuple[int, int] = (FIRST_LOOK, MOST_LOOKED_AT),
) -> Iterator[Watermarks]:
    """Move watermarks from those known towards the ends of what is folded; yields those that each look moved.

    A look takes partitions that are at about the same offset, as the range of offsets is what lets files be
    skipped.
    """
    look, most_looked_at = most
    left = {p: at for p, at in known.items() if at < ends[p]}
    while left:
        lowest = min(left.values())
        together = {p: at for p, at in left.items() if at < lowest + most_looked_at}
        until = {p: min(at + look, ends[p]) for p, at in together.items()}
        unresolved = _unresolved(view, together, until)
        found = until | unresolved
        yield found
        left = {p: found.get(p, at) for p, at in left.items() if p not in unresolved}
        left = {p: at for p, at in left.items() if at < ends[p]}
        look = min(look * 4, most_looked_at)


def _unresolved(
    view: duckdb.DuckDBPyConnection, begin: Mapping[int, int], end: Mapping[int, int]
) -> Watermarks:
    """The first unresolved upload of each partition from `begin` on and before `end`, where there is one."""
    return dict(
        view.execute(
            lake.STATEMENTS["first_unresolved"],
            {
                "topic": UPLOADED.name,
                "partitions": list(begin),
                "begins": list(begin.values()),
                "ends": [end[partition] for partition in begin],
                "low": min(begin.values()),
                "high": max(end.values()),
            },
        ).fetchall()
    )
