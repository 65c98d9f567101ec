"""Images that two versions have looked at, and what they found in them, from the view by the chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import duckdb
import numpy as np
import pyarrow as pa

from streams.circles import CIRCLE, Circles
from streams.evaluation.found import Found, gather
from streams.evaluation.truth import Annotated
from streams.evaluation.version import ModelVersion
from streams.lake_files import quoted
from streams.statements import read_statements

SQL = read_statements("streams.evaluation", "reading.sql")
FILTERS = ("source", "project", "since", "until")
AT_ONCE = 1_000_000
"""Images and circles of both versions that are in memory at once."""
COLUMNS = ("x", "y", "radius", "score")
SIDES = ("x_min", "y_min", "x_max", "y_max")


class Seen(NamedTuple):
    """Images that both versions have looked at, and that only one has."""

    both: int
    only_a: int
    only_b: int


class Chunk(NamedTuple):
    """images: image_id, source_id, uploaded_at; a and b: what was found in them."""

    images: pa.Table
    a: Found
    b: Found


def bound(view: duckdb.DuckDBPyConnection, folder: str) -> None:
    """Keep DuckDB's own memory below a gigabyte; what it has to join or sort beyond spills into a folder."""
    view.execute("SET memory_limit = '1GB'")
    view.execute(f"SET temp_directory = {quoted(folder)}")


def known(view: duckdb.DuckDBPyConnection, at: int) -> set[tuple[str, str]]:
    """Names and versions of models that there are detections of at a snapshot."""
    return set(view.execute(SQL["known"], {"snapshot": at}).fetchall())


def choose(
    view: duckdb.DuckDBPyConnection, at: int, a: ModelVersion, b: ModelVersion, filters: Mapping[str, Any]
) -> Seen:
    """Find the images that pass the filters, for `unseen` and `chunks`. filters: values by FILTERS."""
    conditions = " AND ".join(SQL[name] for name in filters) or "true"
    versions = {"a_name": a.name, "a_version": a.version, "b_name": b.name, "b_version": b.version}
    view.execute(SQL["seen"].format(filters=conditions), {**filters, **versions, "snapshot": at})
    ((both, only_a, only_b),) = view.execute(SQL["counted"]).fetchall()
    return Seen(both, only_a, only_b)


def unseen(view: duckdb.DuckDBPyConnection, count: int) -> tuple[list[UUID], list[UUID]]:
    """Some images that only a, and that only b has looked at, of those chosen last."""
    only_a, only_b = (view.execute(SQL[n], {"count": count}).fetchall() for n in ("only_a", "only_b"))
    return [image for (image,) in only_a], [image for (image,) in only_b]


def chunks(
    view: duckdb.DuckDBPyConnection,
    at: int,
    a: ModelVersion,
    b: ModelVersion,
    *,
    boxes: bool,
    at_once: int = AT_ONCE,
) -> Iterator[Chunk]:
    """The images chosen last that both have looked at, in the order of their ids."""
    view.execute("SET arrow_lossless_conversion = true")  # ids as UUID, not as text
    view.execute(SQL["common"], {"at_once": at_once})
    columns = ", ".join((*COLUMNS, *SIDES) if boxes else COLUMNS)
    query = SQL["circles"].format(columns=columns)
    for begin, end, first, last in view.execute(SQL["chunks"]).fetchall():
        images = view.execute(SQL["images"], {"begin": begin, "end": end}).to_arrow_table()
        there = {"begin": begin, "end": end, "first": first, "last": last, "snapshot": at}
        found = []
        for version in (a, b):
            which = {
                "name": version.name, "version": version.version, "min_score": version.min_score or 0.0
            }  # fmt: skip
            rows = view.execute(query, {**there, **which}).fetchnumpy()
            circles = {name: np.asarray(rows[name]) for name in rows if name != "image"}
            found.append(gather(end - begin, np.asarray(rows["image"]), circles))
        yield Chunk(images, *found)


def annotated(view: duckdb.DuckDBPyConnection, at: int, a: ModelVersion, b: ModelVersion) -> Annotated:
    """Of the images that `chunks` was over those with ground truth, and all that both found in them."""
    view.execute(SQL["annotated"], {"snapshot": at})
    sources = [source for (source,) in view.execute(SQL["sources"]).fetchall()]

    def circles(query: str, **which: str) -> list[Circles]:
        rows = view.execute(SQL[query], {"snapshot": at, **which}).fetchnumpy()
        found = np.zeros(len(rows["image"]), CIRCLE)
        for name in (*COLUMNS, *SIDES):
            found[name] = rows[name]
        image = np.asarray(rows["image"])
        found = found[np.argsort(image, kind="stable")]
        ends = np.cumsum(np.bincount(image, minlength=len(sources)))
        return np.split(found, ends[:-1]) if sources else []

    looked = (circles("looked", name=version.name, version=version.version) for version in (a, b))
    return Annotated(sources, circles("truth"), *looked)
