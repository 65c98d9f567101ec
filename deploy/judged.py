"""Two versions against ground truth, as a sentence and tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Column, Table

from detector.evaluation.bootstrap import Figure
from streams.evaluation.comparison import Comparison
from streams.evaluation.groups import OfGroup
from streams.evaluation.measures import Measure
from streams.evaluation.said import NO_TRUTH, truth_groups, verdict


def judged(found: Comparison) -> Iterator[RenderableType]:
    """Nothing where no image of the comparison has ground truth."""
    if found.truth is None:
        yield NO_TRUTH
        return
    yield verdict(found)
    title = f"against ground truth: {found.truth.images:,} images, {found.truth.annotated:,} circles"
    yield _table(title, found, found.truth.measures)
    for name, rows in truth_groups(found.truth):
        yield _table(f"f1 @ 0.5 by {name}", found, rows)


def _table(title: str, found: Comparison, measures: Sequence[Measure]) -> Table:
    of_groups = any(isinstance(measure, OfGroup) for measure in measures)
    table = Table(
        title,
        *(Column(name, justify="right") for name in ("images", "true circles") if of_groups),
        *(Column(name, justify="right") for name in (found.a, found.b, "difference")),
        "95 % of it",
        f"{found.b} is",
    )
    for measure in measures:
        table.add_row(
            measure.name,
            *((f"{measure.images:,}", f"{measure.annotated:,}") if isinstance(measure, OfGroup) else ()),
            _number(measure.a.value),
            _number(measure.b.value),
            f"{measure.difference.value:+.3f}",
            _interval(measure.difference),
            measure.b_is,
        )
    return table


def _number(value: float) -> str:
    return f"{value:.3f}"


def _interval(figure: Figure) -> str:
    return f"{figure.low:+.3f} to {figure.high:+.3f}"
