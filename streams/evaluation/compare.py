"""Two model versions compared image by image, as of one snapshot of the view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import duckdb

from streams import promotions
from streams.errors import NothingToCompare
from streams.evaluation import reading
from streams.evaluation.comparison import Comparison
from streams.evaluation.images import Part, Rule, compare_images
from streams.evaluation.summary import summarise
from streams.evaluation.truth import against_truth
from streams.evaluation.version import ModelVersion, resolve

T = TypeVar("T")


def compare(
    view: duckdb.DuckDBPyConnection,
    at: int,
    a: ModelVersion,
    b: ModelVersion,
    rule: Rule,
    filters: Mapping[str, Any],
    *,
    worst: int = 10,
    each: Callable[[Part, int], None] = lambda _part, _images: None,
) -> Comparison:
    """How b differs from a on the images that pass all filters and that both have looked at.

    view: for this thread alone; at: the snapshot; filters: values by `reading.FILTERS`; worst: how many
    images to name; each: is given every part, and how many images there are in all of them. Raises
    NothingToCompare, duckdb.Error.
    """
    seen = choose(view, at, a, b, filters)
    only_a_images, only_b_images = reading.unseen(view, worst)
    found = []
    for part in parts(view, at, a, b, rule):
        found.append(part)
        each(part, seen.both)
    summary = summarise(found, worst)
    annotated = reading.annotated(view, at, a, b)
    scores = (version.min_score or 0.0 for version in (a, b))
    return Comparison(
        a=str(a),
        b=str(b),
        snapshot=at,
        filters=dict(filters),
        iou=rule.iou,
        min_iou=rule.min_iou,
        moved_px=rule.moved_px,
        only_a=seen.only_a,
        only_b=seen.only_b,
        only_a_images=only_a_images,
        only_b_images=only_b_images,
        share_unchanged=summary.counts.unchanged / summary.counts.images,
        truth=against_truth(annotated, *scores) if annotated.truth else None,
        **summary._asdict(),
    )


def with_current(view: duckdb.DuckDBPyConnection, at: int, version: str) -> Comparison:
    """How a version differs from the one that is served, on all images that both have looked at.

    Raises UnknownVersion, NothingToCompare, duckdb.Error.
    """
    now = promotions.current(view)
    if now is None:
        raise NothingToCompare("there are no detections yet, so no version is the current one")
    known = reading.known(view, at)
    return compare(view, at, resolve(str(now), known), resolve(version, known), Rule(), {})


def choose(
    view: duckdb.DuckDBPyConnection, at: int, a: ModelVersion, b: ModelVersion, filters: Mapping[str, Any]
) -> reading.Seen:
    """Choose the images that `parts` is about, at least one. Raises NothingToCompare, duckdb.Error."""
    seen = reading.choose(view, at, a, b, filters)
    if not seen.both:
        raise NothingToCompare(_why(seen, a, b, filters))
    return seen


def parts(
    view: duckdb.DuckDBPyConnection,
    at: int,
    a: ModelVersion,
    b: ModelVersion,
    rule: Rule,
    at_once: int = reading.AT_ONCE,
) -> Iterator[Part]:
    """What there is to say of the images that were chosen last, in the order of their ids."""
    for chunk in _ahead(reading.chunks(view, at, a, b, boxes=rule.iou == "box", at_once=at_once)):
        yield compare_images(*chunk, rule)


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same, each made on a thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _why(seen: reading.Seen, a: ModelVersion, b: ModelVersion, filters: Mapping[str, Any]) -> str:
    said = ", ".join(f"{name} {value}" for name, value in filters.items())
    which = f" ({said})" if said else ""
    if not (seen.only_a or seen.only_b):
        return f"neither {a} nor {b} has looked at an image that passes the filters{which}"
    return (
        f"no image in common{which}: {a} has looked at {seen.only_a:,}, {b} at {seen.only_b:,} others;"
        " a version is compared on the images that both have looked at"
    )
