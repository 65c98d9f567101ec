"""Two versions against ground truth, as a sentence and tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Column, Table

from detector.evaluation.bootstrap import Figure
from streams.evaluation.comparison import Comparison
from streams.evaluation.truth import Measure

MOST_SOURCES = 10


def judged(found: Comparison) -> Iterator[RenderableType]:
    """Nothing where no image of the comparison has ground truth."""
    if found.truth is None:
        yield "none of these images has ground truth, which would tell the better version"
        return
    yield verdict(found)
    title = f"against ground truth: {found.truth.images:,} images, {found.truth.annotated:,} circles"
    yield _table(title, found, found.truth.measures)
    if len(found.truth.f1_by_source) > 1:
        yield _table("f1 @ 0.5 by source", found, found.truth.f1_by_source[:MOST_SOURCES])


def verdict(found: Comparison) -> str:
    """As 'Of 812 true circles circles:2 finds 3.1 % more than circles:1, and this is not chance'."""
    assert found.truth is not None
    recall = found.truth.of("recall @ 0.5")
    more = recall.difference.value * 100
    how = "which may be chance" if recall.b_is == "may be chance" else "and this is not chance"
    finds = f"{abs(more):.1f} points {'more' if more >= 0 else 'fewer'} than {found.a}, {how}"
    precision = found.truth.of("precision @ 0.5")
    right = f"what it finds is right {precision.b.value:.1%} of the time ({precision.a.value:.1%} before)"
    return (
        f"Of {found.truth.annotated:,} true circles in {found.truth.images:,} images {found.b} finds"
        f" {recall.b.value:.1%}, {finds}; {right}"
    )


def _table(title: str, found: Comparison, measures: Sequence[Measure]) -> Table:
    table = Table(
        title,
        *(Column(name, justify="right") for name in (found.a, found.b, "difference")),
        "95 % of it",
        f"{found.b} is",
    )
    for measure in measures:
        table.add_row(
            measure.name,
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
