"""A comparison in words: its sentences, and rows of text for tables, whatever they are shown on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streams.evaluation.comparison import Comparison, Counts, Spread
from streams.evaluation.groups import OfGroup
from streams.evaluation.images import band_name
from streams.evaluation.truth import OfTruth

MOST_ROWS = 10
"""Of sources and of hours."""
NO_TRUTH = "none of these images has ground truth, which would tell the better version"


class Row(NamedTuple):
    """How many there are of something, and what that is a share of."""

    name: str
    number: int
    what: str


class Group(NamedTuple):
    """Rows of images, or of circles, by what they have in common."""

    name: str
    rows: Sequence[tuple[str, Counts]]
    left_out: int
    """Rows with less gained and lost than any of these."""


def sentence(found: Comparison) -> str:
    """As 'circles:2 finds 3.1 % more circles than circles:1 in 812 images; 640 images are the same'."""
    counts = found.counts
    a, b = counts.a_circles, counts.b_circles
    if a == b:
        finds = f"as many circles as {found.a}, {a:,},"
    elif not a:
        finds = f"{number_of(b, 'circle')} where {found.a} finds none,"
    else:
        percent = abs(b - a) / a * 100
        size = f"{percent:,.1f} %" if percent >= 0.05 else "less than 0.1 %"
        finds = f"{size} {'more' if b > a else 'fewer'} circles than {found.a}"
    same = number_of(counts.unchanged, "image")
    return (
        f"{found.b} finds {finds} in {number_of(counts.images, 'image')};"
        f" {same} {'is' if counts.unchanged == 1 else 'are'} the same"
    )


def verdict(found: Comparison) -> str:
    """As 'Of 812 true circles in 90 images circles:2 finds 93.1%, 3.1 points more than circles:1, ...'."""
    if found.truth is None:
        return NO_TRUTH
    recall = found.truth.of("recall @ 0.5")
    more = recall.difference.value * 100
    how = "which may be chance" if recall.b_is == "may be chance" else "and this is not chance"
    finds = f"{abs(more):.1f} points {'more' if more >= 0 else 'fewer'} than {found.a}, {how}"
    if recall.b.value == recall.a.value:
        finds = f"as {found.a} does"
    precision = found.truth.of("precision @ 0.5")
    right = f"what it finds is right {precision.b.value:.1%} of the time ({precision.a.value:.1%} before)"
    return (
        f"Of {found.truth.annotated:,} true circles in {found.truth.images:,} images {found.b} finds"
        f" {recall.b.value:.1%}, {finds}; {right}"
    )


def truth_groups(truth: OfTruth) -> Iterator[tuple[str, Sequence[OfGroup]]]:
    """F1 by what there is more than one of, with a name each; of sources the worst for b."""
    for name, rows in (
        ("source", truth.f1_by_source[:MOST_ROWS]),
        ("radius, px", truth.f1_by_radius),
        ("hour of the day (UTC)", truth.f1_by_hour),
    ):
        if len(rows) > 1:
            yield name, rows


def scope(found: Comparison) -> str:
    """As 'as of snapshot 7, source gate'."""
    at = "" if found.snapshot is None else f"as of snapshot {found.snapshot}"
    return ", ".join([*([at] if at else []), *(f"{name} {value}" for name, value in found.filters.items())])


def figures(found: Comparison) -> Iterator[Row]:
    """What was counted on the images that both have looked at."""
    counts, what = found.counts, "boxes" if found.iou == "box" else "circles"

    def share(name: str, number: int, whole: int, text: str) -> Row:
        return Row(name, number, f"{number / whole * 100:.1f} % {text}" if whole else text)

    only = f"{found.only_a:,} more only by {found.a}, {found.only_b:,} by {found.b}"
    yield Row("images", counts.images, only)
    yield share("unchanged", counts.unchanged, counts.images, "of images: nothing gained, lost or moved")
    yield share("changed", counts.changed, counts.images, "of images")
    yield share("only moved", counts.only_moved, counts.images, "of images: nothing gained or lost")
    yield Row(f"circles by {found.a}", counts.a_circles, "")
    yield Row(f"circles by {found.b}", counts.b_circles, "")
    same = f"of {found.a}'s: {what} of IoU {found.min_iou:g} or more"
    yield share("matched", counts.matched, counts.a_circles, same)
    yield share("gained", counts.gained, counts.b_circles, f"of {found.b}'s, that {found.a} does not have")
    yield share("lost", counts.lost, counts.a_circles, f"of {found.a}'s, that {found.b} does not have")
    yield share("moved", counts.moved, counts.matched, f"of matched, by more than {found.moved_px:g} px")


def spreads(found: Comparison) -> Iterator[tuple[str, Spread, bool]]:
    """How matched circles changed, and whether the mean has a sign; none where no circle is matched."""
    if found.shift_px:
        yield "shift of the centre, px", found.shift_px, False
    if found.radius_change_px:
        yield "radius, px", found.radius_change_px, True
    if found.score_change:
        yield "score", found.score_change, True


def groups(found: Comparison) -> Iterator[Group]:
    """Counts by source, radius and hour of upload; of those that have rows."""
    hours = [(f"{row.hour:%Y-%m-%d %H:00}Z" if row.hour else "unknown", row) for row in found.by_hour]
    for name, rows in (
        ("source", [(row.source or "unknown", row) for row in found.by_source]),
        ("radius, px", [(band_name(row.from_px, row.below_px), row) for row in found.by_radius]),
        ("hour of upload", hours),
    ):
        if rows:
            yield most_changed(name, rows)


def most_changed(name: str, rows: Sequence[tuple[str, Counts]]) -> Group:
    """The rows that changed most where there are many, in their order. rows: at least one."""
    changes = sorted((row.gained + row.lost for _, row in rows), reverse=True)
    least = changes[:MOST_ROWS][-1]
    kept = [row for row in rows if row[1].gained + row[1].lost >= least][:MOST_ROWS]
    return Group(name, kept, len(rows) - len(kept))


def alone(found: Comparison) -> Iterator[str]:
    """Which images only one of them has looked at; some of them."""
    for version, count, images in (
        (found.a, found.only_a, found.only_a_images),
        (found.b, found.only_b, found.only_b_images),
    ):
        if images:
            more = ", ..." if count > len(images) else ""
            yield f"only {version} has looked at {', '.join(map(str, images))}{more}"


def number_of(count: int, what: str) -> str:
    """As '1 image' and '2 images'."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
