"""Images that two versions have looked at, and what they found in them, from the view by the chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import UUID

import duckdb
import numpy as np
import pyarrow as pa

from streams import lake
from streams.circles import CIRCLE, Circles
from streams.evaluation.found import Floats, Found, gather
from streams.evaluation.truth import Annotated
from streams.evaluation.version import ModelVersion
from streams.lake_files import quoted
from streams.settings import Settings
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


class Picture(NamedTuple):
    """What an upload says of its bytes."""

    uri: str
    sha256: str
    size_bytes: int
    width: int
    height: int


class Drawn(NamedTuple):
    """What is drawn of some images: their pictures, what both versions found, the true circles of each.

    None: a picture that the view has no upload of; ground truth that there is none of. Rows of truth are
    x, y, radius, (k, 3) of each image.
    """

    pictures: list[Picture | None]
    a: Found
    b: Found
    truth: list[Floats | None]


@contextmanager
def opened(
    settings: Settings, generation: str | None = None, snapshot: int | None = None
) -> Iterator[tuple[duckdb.DuckDBPyConnection, int]]:
    """A view for a comparison, on this thread alone, and its snapshot; else the live one, and its newest.

    DuckDB's own memory stays below a gigabyte: what it has to join or sort beyond spills into a folder.
    Raises duckdb.Error, LakeRefused.
    """
    with lake.connect(settings, read_only=True, generation=generation) as view, TemporaryDirectory() as spill:
        view.execute("SET memory_limit = '1GB'")
        view.execute(f"SET temp_directory = {quoted(spill)}")
        yield view, lake.snapshot(view) if snapshot is None else snapshot


def known(view: duckdb.DuckDBPyConnection, at: int, project: str | None = None) -> set[tuple[str, str]]:
    """Names and versions of models that there are detections of at a snapshot; of one project or all."""
    return set(view.execute(SQL["known"], {"snapshot": at, "project": project}).fetchall())


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
        found = (_found(view, query, end - begin, {**there, **_which(version)}) for version in (a, b))
        yield Chunk(images, *found)


def drawn(
    view: duckdb.DuckDBPyConnection, at: int, a: ModelVersion, b: ModelVersion, images: Sequence[UUID]
) -> Drawn:
    """What is drawn of these images, in their order."""
    of = {"images": [str(image) for image in images], "snapshot": at}
    pictures: list[Picture | None] = [None] * len(images)
    for n, *facts in view.execute(SQL["pictured"], of).fetchall():
        pictures[n] = Picture(*facts)
    found_a, found_b = (
        _found(view, SQL["drawn"], len(images), {**of, **_which(version)}) for version in (a, b)
    )
    truth: list[Floats | None] = [None] * len(images)
    rows = view.execute(SQL["drawn_truth"], of).fetchnumpy()
    circles = np.ma.filled(np.ma.column_stack([rows[name] for name in ("x", "y", "radius")]), np.nan)
    for image in np.unique(rows["image"]).tolist():
        mine = circles[rows["image"] == image]
        truth[image] = mine[~np.isnan(mine).any(axis=1)]
    return Drawn(pictures, found_a, found_b, truth)


def _which(version: ModelVersion) -> dict[str, Any]:
    return {"name": version.name, "version": version.version, "min_score": version.min_score or 0.0}


def _found(view: duckdb.DuckDBPyConnection, query: str, images: int, values: dict[str, Any]) -> Found:
    """The circles of so many images by a query that numbers them as `image`."""
    rows = view.execute(query, values).fetchnumpy()
    circles = {name: np.asarray(rows[name]) for name in rows if name != "image"}
    return gather(images, np.asarray(rows["image"]), circles)


def annotated(view: duckdb.DuckDBPyConnection, at: int, a: ModelVersion, b: ModelVersion) -> Annotated:
    """Of the images that `chunks` was over those with ground truth, and all that both found in them."""
    view.execute(SQL["annotated"], {"snapshot": at})
    places = view.execute(SQL["places"]).fetchall()
    sources, hours = [source for source, _ in places], [hour for _, hour in places]

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
    return Annotated(sources, hours, circles("truth"), *looked)
