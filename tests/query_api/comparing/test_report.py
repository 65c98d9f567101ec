"""The page: it asks nobody for anything, nothing in it is markup that came from outside, and all is drawn."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from query_api.comparing.cards import LONGEST_SIDE, MOST_CIRCLES, Card, crosses, outlines, thumbnail
from query_api.comparing.html import document, el
from query_api.comparing.report import KINDS, POLICY, page
from streams.evaluation.comparison import ImageChange, OfSource
from streams.evaluation.reading import Picture
from streams.evaluation.said import NO_TRUTH, sentence, verdict
from streams.evaluation.shown import Shown
from streams.evaluation.truth import against_truth
from streams.store import Store
from tests.integration.flow import picture
from tests.streams.evaluation.test_tables import COMPARISON, COUNTS
from tests.streams.evaluation.test_truth import scenes

EVIL = "</style></script><script>alert(1)</script>&<img src=x onerror=alert(2)>\"'"
CHANGE = ImageChange(
    image_id=UUID(int=9), source_id=EVIL, uploaded_at=datetime(2026, 1, 31, tzinfo=UTC), a_circles=2,
    b_circles=3, gained=2, lost=1, moved=1, largest_shift_px=3.25, largest_radius_change_px=0.5,
    largest_score_change=0.25,
)  # fmt: skip
VOID = ("meta", "input")


def places(*rows: tuple[float, float, float]) -> Any:
    return np.array(rows, np.float32).reshape(-1, 3)


SHOWN = Shown(
    image_id=UUID(int=9), picture=Picture("file:///a", "0", 1, 640, 480), matched=places(),
    moved=(places((100, 100, 20)), places((103, 101, 20))), gained=places((200, 200, 30), (300, 300, 30)),
    lost=places((400, 200, 50)), truth=places((103, 101, 20)),
)  # fmt: skip
CARD = Card(CHANGE, SHOWN, b"jpeg", "")


class Read(HTMLParser):
    """Elements with their attributes, texts, and whether each is closed where it was opened."""

    def __init__(self, text: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text.decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def layers(text: bytes) -> dict[str, list[str]]:
    """The paths of each kind on the first card, not those of the legend."""
    groups = re.findall(
        r'<g class="layer ([a-z ]+)"><g class="edge"><g id="[a-z-]+-1">(.*?)</g>', text.decode()
    )
    return {kind: re.findall(r' d="([^"]*)"', paths) for kind, paths in groups}


def test_a_sentence_the_verdict_and_the_images_of_a_comparison() -> None:
    truth = against_truth(scenes(60, (8, 1)))
    found = replace(COMPARISON, truth=truth, worst=[CHANGE], filters={"source": EVIL})
    read = Read(page(found, [CARD]))
    heading = read.texts.index(f"{sentence(found)}.")
    assert read.texts[heading:].index(f"{verdict(found)}.") > 0
    for measure in truth.measures:
        assert measure.name in read.texts
    assert "▲ better" in read.texts
    assert f"as of snapshot 7, source {EVIL}" in read.texts
    assert read.texts.count(str(UUID(int=9))) == 1
    assert ("article", f"image-{UUID(int=9)}") in [(tag, a.get("id")) for tag, a in read.elements]
    without = page(replace(COMPARISON, worst=[]), [])
    assert NO_TRUTH[1:] in without.decode()
    assert b"<article" not in without and b"legend" not in without.partition(b"</style>")[2]


def test_nothing_of_it_asks_anybody_and_nothing_from_outside_is_markup() -> None:
    source = OfSource(source=EVIL, **{name: getattr(COUNTS, name) for name in COUNTS.__slots__})
    found = replace(COMPARISON, a=EVIL, by_source=[source], worst=[CHANGE])
    text = page(found, [CARD])
    read = Read(text)
    assert not {tag for tag, _ in read.elements} & {"script", "img", "link", "iframe", "object"}
    for tag, attributes in read.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src"):
            place = attributes.get(name) or "#"
            assert place.startswith("#") or (tag == "image" and place.startswith("data:image/jpeg;base64,"))
    style = text.partition(b"<style>")[2].partition(b"</style>")[0]
    assert b"url(" not in style and b"@import" not in style
    assert POLICY.startswith("default-src 'none'")
    assert [a["content"] for _, a in read.elements if a.get("http-equiv")] == [POLICY]
    assert EVIL in read.texts


def test_every_circle_is_drawn_as_what_became_of_it() -> None:
    text = page(replace(COMPARISON, worst=[CHANGE]), [CARD])
    drawn = layers(text)
    rings = {kind: paths[0].count("z") for kind, paths in drawn.items()}
    assert rings == {"gained": 2, "lost": 1, "moved": 1, "moved before": 1, "truth": 1}
    assert drawn["lost"] == [outlines(SHOWN.lost), crosses(SHOWN.lost, 5 * 640 / LONGEST_SIDE * 0.75)]
    assert drawn["moved"][1] == "M100.0 100.0L103.0 101.0"
    legend = [attributes["id"] for tag, attributes in Read(text).elements if tag == "input"]
    assert legend == [f"show-{kind}" for kind, _ in KINDS]


def test_a_card_says_what_its_picture_lacks() -> None:
    many = replace(SHOWN, gained=np.tile(places((9, 9, 3)), (MOST_CIRCLES + 1, 1)), picture=None)
    text = page(replace(COMPARISON, worst=[CHANGE]), [Card(CHANGE, many, None, "it is gone")])
    read = Read(text)
    assert "it is gone" in read.texts
    assert f"of {MOST_CIRCLES + 1} circles of one kind the first {MOST_CIRCLES} are drawn" in read.texts
    assert layers(text)["gained"][0].count("z") == MOST_CIRCLES
    assert not [tag for tag, _ in read.elements if tag == "image"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_thumbnail_is_a_small_jpeg_or_a_reason(tmp_path: Path, kind: str) -> None:
    store = Store((tmp_path / "objects").as_uri(), 10_000_000)
    data = picture(1, kind, 1000, 500)

    def got(uri: str, data: bytes = data, pixels: int = 10**6) -> tuple[bytes | None, str]:
        described = Picture(uri, hashlib.sha256(data).hexdigest(), len(data), 1000, 500)
        return asyncio.run(thumbnail(described, store, pixels))

    uri = asyncio.run(store.put("a", data))
    small, why = got(uri)
    assert small and not why
    with Image.open(BytesIO(small)) as image:
        assert (image.format, image.size) == ("JPEG", (LONGEST_SIDE, LONGEST_SIDE // 2))
    assert "gone or changed" in got(store.uri("b"))[1]
    assert "gone or changed" in got(uri, data[:-1] + b"x")[1]
    assert "cannot be drawn" in got(uri, pixels=100)[1]
    broken = asyncio.run(store.put("c", b"no picture"))
    assert "cannot be drawn" in got(broken, b"no picture")[1]
    assert asyncio.run(thumbnail(None, store, 1)) == (None, "the view has no upload of this image")


def test_a_tree_is_written_as_html() -> None:
    made = el("p", "a<", el("br"), None, ["b", el("b", "&", title='"<')], "c", class_="x", aria_hidden=None)
    assert document(made) == b'<!doctype html>\n<p class="x">a&lt;<br>b<b title="&quot;<">&amp;</b>c</p>'
    assert document(el("p", "\ud800")).endswith(b"<p>?</p>")


def test_a_picture_is_in_the_page_as_it_is() -> None:
    read = Read(page(replace(COMPARISON, worst=[CHANGE]), [CARD]))
    (place,) = [str(a["href"]) for tag, a in read.elements if tag == "image"]
    assert base64.b64decode(place.partition(",")[2]) == b"jpeg"
    assert re.search(r'viewBox="0 0 640 480"', page(replace(COMPARISON, worst=[CHANGE]), [CARD]).decode())
