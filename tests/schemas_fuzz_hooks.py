"""What schemathesis is told of right requests that no schema can say. It loads this file by its path.

Nothing here touches what is held against answers.
"""

from __future__ import annotations

import io
import re
from typing import Any

import hypothesis.strategies as st
import numpy as np
import schemathesis
from PIL import Image

from query_api import patterns

Case = schemathesis.Case[Any]
FIRST, LAST = "0002-01-01T00:00:00Z", "9998-12-31T00:00:00Z"
given: dict[str, str] = {}
"""What the API gave last and takes back: cursors, positions and snapshots are not for others to make."""


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """The bytes of a small image; each of its own."""
    pixels = np.random.default_rng(draw(st.integers(0, 2**63))).integers(0, 256, (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, draw(st.sampled_from(["JPEG", "PNG", "WEBP"])))
    return buffer.getvalue()


schemathesis.openapi.format("binary", pictures())


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: Case, response: schemathesis.Response) -> None:
    """Keep what later requests may give back."""
    for header, name in (("circles-position", "after"), ("circles-snapshot", "as_of")):
        if found := response.headers.get(header):
            given["annotated" if case.method == "PUT" else name] = found[0]
    if response.status_code == 200 and response.headers["content-type"] == ["application/json"]:
        answer = response.json()
        if following := answer.get("next"):
            given[_list(case)] = following


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Make a right request one that can be right, and a wrong form one that is wrong."""
    if case.meta is None:
        return
    if case.meta.generation.mode.is_negative:
        _wrong(case)
    else:
        _right(case)


def _wrong(case: Case) -> None:
    """Keep its fault the one that is found.

    A moment that is not kept, or does not come, is told before all else. Fields of a form are all text: a
    number in its place is none; then the form has no file.
    """
    for name, right in (("after", patterns.OPAQUES), ("as_of", patterns.MOMENT)):
        found = case.query.get(name)
        if isinstance(found, str) and re.fullmatch(right, found):
            del case.query[name]
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        texts = [value for name, value in case.body.items() if name != "file"]
        if not all(isinstance(value, str) for value in texts):
            case.body.pop("file", None)


def _right(case: Case) -> None:
    query: dict[str, Any] = case.query
    if case.meta and case.meta.phase.name == "stateful" and "image_id" in case.path_parameters:
        query["after"] = "that of the upload"  # without it an image is there a moment later only
        query.pop("as_of", None)
    for name, kept in (("as_of", "as_of"), ("cursor", _list(case))):
        if query.get(name):
            query[name] = given.get(kept, "")
    if query.get("after"):
        query["after"] = ",".join(given[kept] for kept in ("after", "annotated") if kept in given)
    if case.method == "PUT" and isinstance(case.body, dict):
        _into_the_picture(case.body)
    if case.headers.get("last-event-id"):
        case.headers["last-event-id"] = given.get("as_of", "")
    if "version" in query:
        query["model"] = "circles"  # what names a version itself has none beside it
    for name in ("model", "version"):  # no schema says what parameters a version can have
        if name in query:
            query[name] = query[name].replace("=", "")
    if isinstance(case.body, dict) and "+" in str(case.body.get("model")):
        case.body["model"] = "circles:2+min_radius=20,min_score=0.7"
    if "box" in query:
        x, y, x_, y_ = query["box"].split(",")
        (x_min, x_max), (y_min, y_max) = sorted([x, x_], key=float), sorted([y, y_], key=float)
        query["box"] = f"{x_min},{y_min},{x_max},{y_max}"
    for name in ("since", "until"):
        if name in query:  # an offset must not lead out of the years that there are
            query[name] = min(max(query[name], FIRST), LAST)


def _into_the_picture(body: dict[str, Any]) -> None:
    """What is drawn, as something that a picture of 16 x 16 pixels can have."""
    for circle in body.get("circles", ()):
        circle |= {"x": circle["x"] % 16, "y": circle["y"] % 16, "radius": 1 + circle["radius"] % 15}
    for box in body.get("boxes", ()):
        x, y, width, height = (number % 8 for number in box)
        box[:] = [x, y, x + 1 + width, y + 1 + height]


def _list(case: Case) -> str:
    """Of which list, in which order, a cursor is."""
    return f"{case.path} {case.query.get('sort')}"
