"""A comparison as a page for people: one HTML file that asks nobody for anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from xml.etree.ElementTree import Element

import numpy as np

from detector.evaluation.bootstrap import Figure
from query_api.comparing import cards
from query_api.comparing.cards import Card
from query_api.comparing.html import Child, document, el
from streams.evaluation import said
from streams.evaluation.comparison import Comparison
from streams.evaluation.groups import OfGroup
from streams.evaluation.measures import Measure
from streams.evaluation.said import Group

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
FIRST = ("precision @ 0.5", "recall @ 0.5", "f1 @ 0.5", "ap @ 0.5", "ap @ 0.5:0.95")
"""Of the measures those that are shown before all others."""
SIGNS = {"better": "▲", "worse": "▼", "may be chance": "·"}
SAMPLE = np.array([[14, 14, 9]], np.float32)
KINDS = (
    ("gained", "{b} has it, {a} does not"),
    ("lost", "{a} has it, {b} does not"),
    ("moved", "dashed where {a} has it, drawn through where {b} has it"),
    ("matched", "both have it, at the same place"),
    ("truth", "ground truth"),
)


def page(found: Comparison, shown: Sequence[Card]) -> bytes:
    """The file. shown: the worst images, in their order."""
    css = files("query_api").joinpath("comparing/report.css").read_text()
    title = f"{found.a} and {found.b} compared"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("style", css),
    )
    body = el(
        "body",
        el(
            "header",
            el("p", title, class_="quiet"),
            el("h1", f"{said.sentence(found)}."),
            el("p", f"{_capital(said.verdict(found))}.", class_="verdict"),
            el("p", said.scope(found), class_="quiet"),
        ),
        _section("What changed", _counts(found), _spreads(found)),
        _section("Which one is right", _truth(found)) if found.truth else None,
        _section("Where it changed", (_group(group, found) for group in said.groups(found))),
        _section("The images that changed most", _legend(found), _cards(found, shown)) if shown else None,
        _section("Not compared", (el("p", text) for text in said.alone(found)))
        if found.only_a_images or found.only_b_images
        else None,
    )
    return document(el("html", head, body, lang="en"))


def _section(title: str, *children: Child) -> Element:
    return el("section", el("h2", title), children)


def _counts(found: Comparison) -> Iterator[Element]:
    yield _table(
        "of the images that both have looked at",
        ("", "", ""),
        ([name, f"{count:,}", what] for name, count, what in said.figures(found)),
        texts=(2,),
    )


def _spreads(found: Comparison) -> Iterator[Element]:
    names = ("change of matched circles", "median", "90 % within", "most", f"mean, {found.b} has more", "in")
    rows: list[list[Child]] = [
        [name, f"{spread.median:.3f}", f"{spread.p90:.3f}", f"{spread.max:.3f}",
         f"{spread.mean:+.3f}" if signed else "", _image(spread.max_image, found)]
        for name, spread, signed in said.spreads(found)
    ]  # fmt: skip
    if rows:
        yield _table("", names, rows, texts=(5,))


def _truth(found: Comparison) -> Iterator[Element]:
    assert found.truth
    first = [measure for measure in found.truth.measures if measure.name in FIRST]
    rest = [measure for measure in found.truth.measures if measure.name not in FIRST]
    images = f"{said.number_of(found.truth.images, 'image')}, {found.truth.annotated:,} true circles"
    yield _measures(f"against ground truth: {images}", "", first, found)
    yield el(
        "details",
        el("summary", "stricter overlaps, whole circles, errors"),
        _measures("", "", rest, found),
    )
    for name, rows in said.truth_groups(found.truth):
        yield _measures(f"f1 @ 0.5 by {name}", name, rows, found)
    yield el(
        "p",
        "Each interval holds 95 % of the differences over 1,000 draws of these images, the same for both."
        " Where it has zero in it, the difference may be chance.",
        class_="quiet",
    )


def _measures(caption: str, name: str, measures: Sequence[Measure], found: Comparison) -> Element:
    shares = [m for m in measures if isinstance(m, OfGroup) or "@" in m.name]  # of one scale
    widest = max((abs(n) for m in shares for n in _known(m.difference)), default=0) or 1
    of_groups = any(isinstance(measure, OfGroup) for measure in measures)
    rows = [
        [
            el("bdi", measure.name),
            el("span", f"{SIGNS[measure.b_is]} {measure.b_is}", class_=measure.b_is.replace(" ", "-")),
            _number(measure.a.value),
            _number(measure.b.value),
            _number(measure.difference.value, "+.3f"),
            _between(measure.difference),
            _whisker(measure, widest) if measure in shares else None,
            *((f"{measure.images:,}", f"{measure.annotated:,}") if isinstance(measure, OfGroup) else ()),
        ]
        for measure in measures
    ]
    names = (name, f"{found.b} is", found.a, found.b, "difference", "95 % of it", "",
             *(("images", "true circles") if of_groups else ()))  # fmt: skip
    return _table(caption, names, rows, texts=(1,))


def _known(figure: Figure) -> list[float]:
    return [n for n in (figure.value, figure.low, figure.high) if math.isfinite(n)]


def _whisker(measure: Measure, widest: float) -> Element | None:
    """The interval of a difference on a line with zero in its middle."""
    known = _known(measure.difference)
    if len(known) < 3:
        return None
    value, low, high = (60 + max(-1.0, min(1.0, n / widest)) * 54 for n in known)
    return el(
        "svg",
        el("path", d="M60 1v14", class_="zero"),
        el("path", d=f"M{low:.1f} 8H{high:.1f}M{low:.1f} 4.5v7M{high:.1f} 4.5v7"),
        el("circle", cx=f"{value:.1f}", cy=8, r=3),
        viewBox="0 0 120 16",
        class_=f"whisker {measure.b_is.replace(' ', '-')}",
        aria_hidden="true",
    )


def _group(group: Group, found: Comparison) -> Element:
    names = (group.name, "images", "changed", f"by {found.a}", f"by {found.b}", "matched", "gained", "lost",
             "moved", "worst image")  # fmt: skip
    rows = (
        [el("bdi", key)]
        + [f"{count:,}" for count in (row.images, row.changed, row.a_circles, row.b_circles, row.matched,
                                      row.gained, row.lost, row.moved)]
        + [_image(row.worst_image, found)]
        for key, row in group.rows
    )  # fmt: skip
    left_out = f"by {group.name}; {group.left_out:,} with less gained and lost are left out"
    return _table(left_out if group.left_out else f"by {group.name}", names, rows, texts=(9,))


def _legend(found: Comparison) -> Element:
    """What is drawn how; each kind can be put away."""
    rim = cards.outlines(SAMPLE)
    marks = {"gained": cards.pluses(SAMPLE, 4), "lost": cards.crosses(SAMPLE, 3)}
    return el(
        "div",
        (
            el(
                "label",
                el("input", type="checkbox", checked="checked", id=f"show-{kind}"),
                el(
                    "svg",
                    cards.layer("moved before", "moved-before-0", cards.outlines(SAMPLE - (4, 0, 0)))
                    if kind == "moved"
                    else None,
                    cards.layer(kind, f"{kind}-0", rim, marks.get(kind, "")),
                    viewBox="0 0 28 28",
                    aria_hidden="true",
                ),
                el("span", el("b", kind), " ", words.format(a=found.a, b=found.b)),
            )
            for kind, words in KINDS
        ),
        class_="legend",
    )


def _cards(found: Comparison, shown: Sequence[Card]) -> Element:
    each = (cards.element(place, card, found) for place, card in enumerate(shown, 1))
    return el("div", each, class_="cards")


def _image(image_id: object, found: Comparison) -> Element:
    """Leads to the image's card, where it has one."""
    shown = any(each.image_id == image_id for each in found.worst[: cards.MOST_CARDS])
    code = el("code", str(image_id))
    return el("a", code, href=f"#image-{image_id}") if shown else code


def _table(
    caption: str, names: Sequence[str], rows: Iterable[Sequence[Child]], texts: Sequence[int] = ()
) -> Element:
    """Its first column has names, others numbers, but for those in `texts`."""

    def of(place: int) -> str | None:
        return "text" if place in texts else "number" if place else None

    def cell(place: int, value: Child) -> Element:
        return el("td" if place else "th", value, class_=of(place), scope=None if place else "row")

    head = [el("th", name, class_=of(place), scope="col") for place, name in enumerate(names)]
    table = el(
        "table",
        el("caption", caption) if caption else None,
        el("thead", el("tr", head)) if any(names) else None,
        el("tbody", (el("tr", (cell(*each) for each in enumerate(row))) for row in rows)),
    )
    return el("div", table, class_="scroll")


def _number(value: float, how: str = ".3f") -> str:
    return format(value, how) if math.isfinite(value) else "n/a"


def _between(figure: Figure) -> str:
    return f"{_number(figure.low, '+.3f')} to {_number(figure.high, '+.3f')}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
