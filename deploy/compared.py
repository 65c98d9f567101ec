"""A comparison as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table

from deploy.judged import judged
from streams.evaluation.comparison import Comparison, Counts, Spread

MOST_ROWS = 10
"""Of sources and of hours."""


def tables(found: Comparison) -> RenderableType:
    """A sentence, then tables: figures, changes of matched circles, groups of images, the worst of them."""
    counts = ("images", "changed", *(f"by {version}" for version in (found.a, found.b)))
    columns = (*counts, "matched", "gained", "lost", "moved")
    return Group(
        sentence(found),
        figures_table(found),
        *spreads_table(found),
        *groups_table("source", columns, [(row.source or "unknown", row) for row in found.by_source]),
        *groups_table("radius, px", columns, [(_band(r.from_px, r.below_px), r) for r in found.by_radius]),
        *groups_table(
            "hour of upload",
            columns,
            [(f"{row.hour:%Y-%m-%d %H:00}Z" if row.hour else "unknown", row) for row in found.by_hour],
        ),
        *worst_table(found),
        *_alone(found),
        *judged(found),
    )


def sentence(found: Comparison) -> str:
    """As 'circles:2 finds 3.1 % more circles than circles:1 in 812 images; 640 images are the same'."""
    counts = found.counts
    a, b = counts.a_circles, counts.b_circles
    if a == b:
        finds = f"as many circles as {found.a}, {a:,},"
    elif not a:
        finds = f"{_number(b, 'circle')} where {found.a} finds none,"
    else:
        percent = abs(b - a) / a * 100
        size = f"{percent:,.1f} %" if percent >= 0.05 else "less than 0.1 %"
        finds = f"{size} {'more' if b > a else 'fewer'} circles than {found.a}"
    same = _number(counts.unchanged, "image")
    return (
        f"{found.b} finds {finds} in {_number(counts.images, 'image')};"
        f" {same} {'is' if counts.unchanged == 1 else 'are'} the same"
    )


def figures_table(found: Comparison) -> Table:
    asked = "".join(f", {name} {value}" for name, value in found.filters.items())
    table = Table(
        "of the images that both have looked at",
        Column("", justify="right"),
        "",
        caption=f"as of snapshot {found.snapshot}{asked}",
        caption_justify="left",
    )
    counts = found.counts

    def add(name: str, count: int, share_of: int = 0, what: str = "") -> None:
        table.add_row(name, f"{count:,}", f"{count / share_of * 100:.1f} % {what}" if share_of else what)

    add("images", counts.images, 0, f"{found.only_a:,} more only by {found.a}, {found.only_b:,} by {found.b}")
    add("unchanged", counts.unchanged, counts.images, "of images: nothing gained, lost or moved")
    add("changed", counts.changed, counts.images, "of images")
    add("only moved", counts.only_moved, counts.images, "of images: nothing gained or lost")
    add(f"circles by {found.a}", counts.a_circles)
    add(f"circles by {found.b}", counts.b_circles)
    what = "boxes" if found.iou == "box" else "circles"
    add(
        "matched",
        counts.matched,
        counts.a_circles,
        f"of {found.a}'s: {what} of IoU {found.min_iou:g} or more",
    )
    add("gained", counts.gained, counts.b_circles, f"of {found.b}'s, that {found.a} does not have")
    add("lost", counts.lost, counts.a_circles, f"of {found.a}'s, that {found.b} does not have")
    add("moved", counts.moved, counts.matched, f"of matched, by more than {found.moved_px:g} px")
    return table


def spreads_table(found: Comparison) -> Iterator[Table]:
    """None where no circle is matched."""
    names = ("median", "90 % within", "most", f"mean, {found.b} has more")
    columns = (Column(name, justify="right") for name in names)
    table = Table("change of matched circles", *columns, "most in image")
    rows = {
        "shift of the centre, px": found.shift_px, "radius, px": found.radius_change_px,
        "score": found.score_change,
    }  # fmt: skip
    for name, spread in rows.items():
        if spread:
            table.add_row(name, *_shown(spread, signed=spread is not found.shift_px))
    if table.row_count:
        yield table


def groups_table(name: str, columns: Sequence[str], rows: Sequence[tuple[str, Counts]]) -> Iterator[Table]:
    """The rows that changed most where there are many, in their order."""
    if not rows:
        return
    changes = sorted((row.gained + row.lost for _, row in rows), reverse=True)
    least = changes[:MOST_ROWS][-1]
    kept = [row for row in rows if row[1].gained + row[1].lost >= least][:MOST_ROWS]
    left_out = len(rows) - len(kept)
    table = Table(
        name,
        *(Column(column, justify="right") for column in columns),
        "worst image",
        caption=f"{left_out:,} with less gained and lost are left out; --json has all" if left_out else None,
        caption_justify="left",
    )
    for key, row in kept:
        numbers = (
            row.images, row.changed, row.a_circles, row.b_circles, row.matched, row.gained, row.lost,
            row.moved,
        )  # fmt: skip
        table.add_row(key, *(f"{number:,}" for number in numbers), str(row.worst_image))
    yield table


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


def _alone(found: Comparison) -> Iterable[str]:
    for version, count, images in (
        (found.a, found.only_a, found.only_a_images),
        (found.b, found.only_b, found.only_b_images),
    ):
        if images:
            more = ", ..." if count > len(images) else ""
            yield f"only {version} has looked at {', '.join(map(str, images))}{more}"


def _band(low: float, high: float | None) -> str:
    return f"{low:g} and more" if high is None else f"{low:g} to below {high:g}"


def _shown(spread: Spread, *, signed: bool) -> Iterator[str]:
    yield from (f"{value:.3f}" for value in (spread.median, spread.p90, spread.max))
    yield f"{spread.mean:+.3f}" if signed else ""
    yield str(spread.max_image)


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
