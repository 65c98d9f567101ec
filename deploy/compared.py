"""A comparison as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table

from deploy.judged import judged
from streams.evaluation import said
from streams.evaluation.comparison import Comparison, Spread


def tables(found: Comparison) -> RenderableType:
    """A sentence, then tables: figures, changes of matched circles, groups of images, the worst of them."""
    counts = ("images", "changed", *(f"by {version}" for version in (found.a, found.b)))
    columns = (*counts, "matched", "gained", "lost", "moved")
    return Group(
        said.sentence(found),
        figures_table(found),
        *spreads_table(found),
        *(group_table(group, columns) for group in said.groups(found)),
        *worst_table(found),
        *said.alone(found),
        *judged(found),
    )


def figures_table(found: Comparison) -> Table:
    table = Table(
        "of the images that both have looked at",
        Column("", justify="right"),
        "",
        caption=said.scope(found),
        caption_justify="left",
    )
    for name, count, what in said.figures(found):
        table.add_row(name, f"{count:,}", what)
    return table


def spreads_table(found: Comparison) -> Iterator[Table]:
    """None where no circle is matched."""
    names = ("median", "90 % within", "most", f"mean, {found.b} has more")
    columns = (Column(name, justify="right") for name in names)
    table = Table("change of matched circles", *columns, "most in image")
    for name, spread, signed in said.spreads(found):
        table.add_row(name, *_shown(spread, signed=signed))
    if table.row_count:
        yield table


def group_table(group: said.Group, columns: Sequence[str]) -> Table:
    left_out = f"{group.left_out:,} with less gained and lost are left out; --json has all"
    table = Table(
        group.name,
        *(Column(column, justify="right") for column in columns),
        "worst image",
        caption=left_out if group.left_out else None,
        caption_justify="left",
    )
    for key, row in group.rows:
        numbers = (
            row.images, row.changed, row.a_circles, row.b_circles, row.matched, row.gained, row.lost,
            row.moved,
        )  # fmt: skip
        table.add_row(key, *(f"{number:,}" for number in numbers), str(row.worst_image))
    return table


def worst_table(found: Comparison) -> Iterator[Table]:
    """Where anything changed."""
    names = (f"by {found.a}", f"by {found.b}", "gained", "lost", "moved", "largest shift, px")
    columns = (Column(name, justify="right") for name in names)
    table = Table("worst images", "source", "uploaded", *columns)
    for image in found.worst:
        counts = (image.a_circles, image.b_circles, image.gained, image.lost, image.moved)
        table.add_row(
            str(image.image_id),
            image.source_id or "unknown",
            f"{image.uploaded_at:%Y-%m-%d %H:%M:%S}Z" if image.uploaded_at else "unknown",
            *(f"{count:,}" for count in counts),
            f"{image.largest_shift_px:.2f}",
        )
    if found.worst:
        yield table


def _shown(spread: Spread, *, signed: bool) -> Iterator[str]:
    yield from (f"{value:.3f}" for value in (spread.median, spread.p90, spread.max))
    yield f"{spread.mean:+.3f}" if signed else ""
    yield str(spread.max_image)
