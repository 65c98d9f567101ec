"""An image of a comparison as a card: its picture, and over it what became of each circle."""

from __future__ import annotations

import base64
from typing import NamedTuple
from xml.etree.ElementTree import Element

import duckdb
import numpy as np

from detector.errors import InvalidImage
from query_api import drawing
from query_api.comparing.html import el
from streams.errors import ObjectUnreadable, StoreUnavailable
from streams.evaluation import reading
from streams.evaluation.comparison import Comparison, ImageChange
from streams.evaluation.found import Floats
from streams.evaluation.images import Rule
from streams.evaluation.reading import Picture
from streams.evaluation.shown import Shown, told_apart
from streams.evaluation.version import ModelVersion
from streams.settings import Settings
from streams.store import Store

MOST_CARDS = 200
"""On a page, which is to be opened on a phone."""
LONGEST_SIDE = 480
"""Of the pictures, in pixels."""
MOST_CIRCLES = 500
"""Drawn in one picture, of each kind: the first."""
MARK = 5
"""Half the size of a mark in the middle of a circle, in pixels of a picture."""


class Card(NamedTuple):
    """thumbnail: a JPEG; None: there is no picture, and `why` says why."""

    change: ImageChange
    shown: Shown
    thumbnail: bytes | None
    why: str


async def made(
    settings: Settings,
    view: duckdb.DuckDBPyConnection,
    versions: tuple[ModelVersion, ModelVersion],
    at: int,
    rule: Rule,
    found: Comparison,
) -> list[Card]:
    """Cards of the worst images of a comparison, which was of these versions at that snapshot: MOST_CARDS."""
    store = Store(settings.objects_url, settings.max_upload_size)
    worst = found.worst[:MOST_CARDS]
    images = [each.image_id for each in worst]
    each = told_apart(images, reading.drawn(view, at, *versions, images), rule)
    return [
        Card(change, shown, *await thumbnail(shown.picture, store, settings.max_image_pixels))
        for change, shown in zip(worst, each, strict=True)
    ]


async def thumbnail(picture: Picture | None, store: Store, max_pixels: int) -> tuple[bytes | None, str]:
    """A JPEG, or why there is none."""
    if picture is None:
        return None, "the view has no upload of this image"
    try:
        data = await store.get(picture.uri, size_bytes=picture.size_bytes, sha256=picture.sha256)
        return drawing.draw(data, max_pixels, LONGEST_SIDE, (), "image/jpeg"), ""
    except ObjectUnreadable:
        return None, "the bytes of this image are gone or changed: its circles are drawn without them"
    except StoreUnavailable:
        return None, "the store of images did not answer: its circles are drawn without the picture"
    except InvalidImage as error:
        return None, f"this picture cannot be drawn: {error}"


def element(place: int, card: Card, found: Comparison) -> Element:
    """place: of the worst, from 1."""
    change, shown = card.change, card.shown
    parts = [
        el("b", f"{count:,} {what}", class_=f"chip {what}")
        for what, count in (("gained", change.gained), ("lost", change.lost), ("moved", change.moved))
        if count
    ]
    uploaded = f"{change.uploaded_at:%Y-%m-%d %H:%M:%S}Z" if change.uploaded_at else "unknown"
    true = "" if shown.truth is None else f"; ground truth has {len(shown.truth):,}"
    sizes = [
        f"at most: centre by {change.largest_shift_px:.1f} px",
        f"radius by {change.largest_radius_change_px:.1f} px",
        f"score by {change.largest_score_change:.2f}",
    ]
    matched = change.a_circles > change.lost
    return el(
        "article",
        overlay(place, card),
        (el("p", note, class_="note") for note in notes(card)),
        el("p", el("span", f"{place}", class_="place"), parts, class_="chips"),
        el("p", el("code", str(change.image_id))),
        el(
            "dl",
            _fact("source", el("bdi", change.source_id or "unknown")),
            _fact("uploaded", uploaded),
            _fact(
                "circles",
                f"{change.a_circles:,} by {found.a}, {change.b_circles:,} by {found.b}{true}",
            ),
            _fact("changed", ", ".join(sizes)) if matched else None,
        ),
        id=f"image-{change.image_id}",
        class_="card",
    )


def notes(card: Card) -> list[str]:
    """What is not in the picture."""
    shown = card.shown
    kinds = (shown.matched, shown.moved[1], shown.gained, shown.lost, shown.truth)
    most = max(len(circles) for circles in kinds if circles is not None)
    left_out = f"of {most:,} circles of one kind the first {MOST_CIRCLES} are drawn"
    return [*([card.why] if card.why else []), *([left_out] if most > MOST_CIRCLES else [])]


def _fact(name: str, value: Element | str) -> list[Element]:
    return [el("dt", name), el("dd", value)]


def overlay(place: int, card: Card) -> Element:
    """The picture as SVG, in pixels as they are stored, as coordinates of circles are."""
    shown = card.shown
    width, height = _extent(shown)
    size = MARK * max(width, height) / LONGEST_SIDE
    before, after = shown.moved
    truth = before[:0] if shown.truth is None else shown.truth
    kinds = (
        ("matched", shown.matched, ""),
        ("moved before", before, ""),
        ("moved", after, between(before, after)),
        ("lost", shown.lost, crosses(shown.lost, size * 0.75)),
        ("gained", shown.gained, pluses(shown.gained, size)),
        ("truth", truth, ""),  # over the others: which of them are right is seen
    )
    said = ", ".join(f"{len(circles):,} {kind}" for kind, circles, _ in kinds if kind != "moved before")
    return el(
        "svg",
        el("rect", width=width, height=height, class_="mat"),
        picture(card.thumbnail, width, height),
        (
            layer(kind, f"{kind.replace(' ', '-')}-{place}", outlines(circles), marks)
            for kind, circles, marks in kinds
            if len(circles)
        ),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=f"circles: {said}",
        class_="picture",
    )


def picture(jpeg: bytes | None, width: int, height: int) -> Element | None:
    if jpeg is None:
        return None
    data = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    return el("image", href=data, width=width, height=height, preserveAspectRatio="none")


def layer(kind: str, name: str, path: str, marks: str = "") -> Element:
    """Paths twice: dark and wide, so that they are seen on any ground, then as their kind is drawn."""
    paths = [el("path", d=path, class_="rim")]
    if marks:
        paths.append(el("path", d=marks, class_="mark"))
    return el(
        "g",
        el("g", el("g", paths, id=name), class_="edge"),
        el("use", href=f"#{name}", class_="line"),
        class_=f"layer {kind}",
    )


def outlines(circles: Floats) -> str:
    """As a path."""
    return "".join(
        f"M{x - r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 1 1 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 1 {-2 * r:.1f} 0z"
        for x, y, r in circles[:MOST_CIRCLES].tolist()
    )


def pluses(circles: Floats, size: float) -> str:
    return "".join(
        f"M{x - size:.1f} {y:.1f}h{2 * size:.1f}M{x:.1f} {y - size:.1f}v{2 * size:.1f}"
        for x, y, _ in circles[:MOST_CIRCLES].tolist()
    )


def crosses(circles: Floats, size: float) -> str:
    across = f"l{2 * size:.1f} {2 * size:.1f}m0 {-2 * size:.1f}l{-2 * size:.1f} {2 * size:.1f}"
    return "".join(f"M{x - size:.1f} {y - size:.1f}{across}" for x, y, _ in circles[:MOST_CIRCLES].tolist())


def between(before: Floats, after: Floats) -> str:
    """From where each circle's centre was to where it is."""
    ends = np.hstack([before[:, :2], after[:, :2]])[:MOST_CIRCLES].tolist()
    return "".join(f"M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" for x, y, to_x, to_y in ends)


def _extent(shown: Shown) -> tuple[int, int]:
    """Width and height of the picture; where nobody knows them, of all circles."""
    if shown.picture:
        return shown.picture.width, shown.picture.height
    circles = np.vstack([shown.matched, *shown.moved, shown.gained, shown.lost])
    if not len(circles):
        return 1, 1
    right, bottom = np.ceil(circles[:, :2] + circles[:, 2:]).max(axis=0).tolist()
    return max(1, int(right)), max(1, int(bottom))
