"""How far the view has folded each partition: stored beside the catalog, moved by the lake's own commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import orjson
import psycopg

from streams.statements import read_statements

Offsets = dict[tuple[str, int], int]
"""Next offset to fold, by topic and partition."""

AUTHOR = "fold"
"""Of a commit that moves offsets: what the trigger in offsets.sql looks at."""

SQL = read_statements("streams", "offsets.sql")


def create(catalog: psycopg.Connection[Any]) -> None:
    """Make the table and its fence, in the catalog of a lake that is there."""
    catalog.execute(SQL["create"])


def stored(view: duckdb.DuckDBPyConnection) -> Offsets:
    rows = view.execute(SQL["stored"]).fetchall()
    return {(topic, partition): offset for topic, partition, offset in rows}


def add(catalog: psycopg.Connection[Any], new: Offsets) -> None:
    """Where partitions begin that the view has not seen yet; those another added first stay as they are."""
    with catalog.cursor() as cursor:
        cursor.executemany(SQL["add"], [(*at, offset) for at, offset in new.items()])


def made_from(catalog: psycopg.Connection[Any], topic_ids: Mapping[str, str]) -> dict[str, str]:
    """The ids of the topics that the view is folded from: these, where it is folded from none yet."""
    with catalog.cursor() as cursor:
        cursor.executemany(SQL["remember_topic"], list(topic_ids.items()))
        return dict(cursor.execute(SQL["topics"]).fetchall())


def advance(
    view: duckdb.DuckDBPyConnection, offsets: Mapping[tuple[str, int], int], advanced: Offsets, *, rows: bool
) -> None:
    """Move the stored offsets, with the transaction under way where that has rows, or at once.

    The catalog compares them with `offsets` and sets them in the transaction that makes the rows visible,
    so that no writer who was replaced can add any. Raises duckdb.Error, with rows at COMMIT, unless they
    are at `offsets`.
    """
    moves = orjson.dumps(
        [
            {"topic": topic, "partition": partition, "from": offsets[topic, partition], "to": offset}
            for (topic, partition), offset in advanced.items()
        ]
    ).decode()
    if rows:
        message = "CALL lake.set_commit_message(?, 'rows and offsets', extra_info => ?)"
        view.execute(message, [AUTHOR, moves])
    else:  # the lake makes no snapshot of a transaction without changes
        view.execute(
            "CALL postgres_execute('__ducklake_metadata_lake', ?)",
            [f"SELECT lake.advance_offsets('{moves}')"],
        )
