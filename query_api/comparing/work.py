"""The work of the process apart: the answer to what a comparison is asked for, as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from query_api.comparing import cards, report
from query_api.comparing.asked import Asked, Change, Compared, Comparing, Listed
from streams.evaluation import compare, reading, requirements, summary
from streams.evaluation.images import Rule
from streams.evaluation.version import ModelVersion, resolve


class Opened(NamedTuple):
    """The view for one comparison."""

    view: duckdb.DuckDBPyConnection
    at: int
    versions: tuple[ModelVersion, ModelVersion]
    rule: Rule


def done(asked: Asked) -> bytes:
    """JSON, a page, an Arrow stream with how many there are in its schema, or JSON of requirements.

    Raises ValueError, of which UnknownVersion and NothingToCompare are; duckdb.Error, LakeRefused.
    """
    match asked:
        case Compared():
            return compared(asked)
        case Listed():
            return listed(asked)
    wanted = [requirements.read(text) for text in asked.require]
    with reading.opened(asked.settings) as (view, at):
        found = compare.with_current(view, at, asked.model)
    return orjson.dumps([requirements.hold(each, found) for each in wanted])


def compared(asked: Compared) -> bytes:
    """A snapshot counts what all projects do: who sees one is not told it."""
    with opened(asked) as (view, at, versions, rule):
        found = compare.compare(view, at, *versions, rule, asked.filters, worst=asked.worst)
        if asked.project is not None:
            found = replace(found, snapshot=None)
        if not asked.page:
            return orjson.dumps(found, option=orjson.OPT_UTC_Z)
        return report.page(found, asyncio.run(cards.made(asked.settings, view, versions, at, rule, found)))


def listed(asked: Listed) -> bytes:
    """Rows as `circles compare --images` writes them."""
    with opened(asked) as (view, at, versions, rule):
        compare.choose(view, at, *versions, asked.filters)
        images = pa.concat_tables(part.images for part in compare.parts(view, at, *versions, rule))
    images = chosen(images, asked.change)
    metadata = {"total": str(len(images))}
    first = images.slice(0, asked.limit).replace_schema_metadata(metadata)
    file = pa.BufferOutputStream()
    with pa.ipc.new_stream(file, first.schema) as stream:
        stream.write_table(first)
    return bytes(file.getvalue())


def chosen(images: pa.Table, change: Change | None) -> pa.Table:
    """Those with a change, or all; the most of it first, of gained and lost for other changes."""
    if change == "unchanged":
        images = images.filter(pc.invert(images["changed"]))
    elif change:
        images = images.filter(images[change].cast(pa.bool_()))
    images = images.take(summary.worst_first(images))
    if change in ("gained", "lost", "moved"):
        images = images.take(np.argsort(-images[change].to_numpy(), kind="stable"))
    return images


@contextmanager
def opened(asked: Comparing) -> Iterator[Opened]:
    with reading.opened(asked.settings, *asked.at) as (view, at):
        known = reading.known(view, at, asked.project)
        a, b = resolve(asked.a, known, asked.min_score_a), resolve(asked.b, known, asked.min_score_b)
        yield Opened(view, at, (a, b), Rule(asked.min_iou, asked.iou, asked.moved_px))
