"""A model's nonsense is never circles: each kind of it is refused, in words that say what it was."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import example, given

from streams.circles import CIRCLE, invalid_circles
from streams.errors import InvalidModelAnswer
from streams.kserve import MAX_CIRCLES
from streams.kserve_v1 import parse_predictions
from tests.streams.strategies import law
from tests.streams.test_model import prediction


def body(*predictions: Any) -> bytes:
    return orjson.dumps({"predictions": predictions})


def box(**more: Any) -> dict[str, Any]:
    return {"bounding_box": {"xmin": 10, "ymin": 10, "xmax": 50, "ymax": 50} | more}


def literal(text: bytes) -> bytes:
    """An answer whose radius is this piece of JSON, or of what is not."""
    return body(prediction(radius={"radius": "HERE"})).replace(b'"HERE"', text)


NONSENSE = {
    "empty": b"",
    "HTML": b"<html><body>It works!</body></html>",
    "half of it": body(prediction())[:-20],
    "not UTF-8": body(prediction()).replace(b"coin", b"\xff\xfe"),
    "deep": b"[" * 100_000,
    "null": b"null",
    "a number": b"1",
    "a list": b"[]",
    "no predictions": b"{}",
    "an error": b'{"error": "out of memory"}',
    "predictions null": b'{"predictions": null}',
    "predictions an object": b'{"predictions": {"0": {}}}',
    "predictions a text": b'{"predictions": "none"}',
    "predictions of another model": b'{"predictions": [[0.1, 0.9]]}',
    "a prediction null": body(None),
    "a prediction a text": body("circle"),
    "NaN": literal(b"NaN"),
    "Infinity": literal(b"Infinity"),
    "too large for a double": literal(b"1e400"),
    "too large for a float": literal(b"1e300"),
    "an integer too large": literal(b"1" + b"0" * 60),
    "radius zero": literal(b"0"),
    "radius zero as a float": literal(b"1e-60"),
    "radius negative": literal(b"-20"),
    "radius null": literal(b"null"),
    "radius a text": literal(b'"20"'),
    "radius true": literal(b"true"),
    "radius a list": literal(b"[20]"),
    "radius plain": body(prediction(radius=20)),
    "no radius": body({**prediction(), "radius": {}}),
    "no box": body({name: value for name, value in prediction().items() if name != "bounding_box"}),
    "no centroid": body({name: value for name, value in prediction().items() if name != "centroid"}),
    "half a box": body(prediction(bounding_box={"xmin": 10, "ymin": 10})),
    "box a list": body(prediction(bounding_box=[10, 10, 50, 50])),
    "centroid a list": body(prediction(centroid=[30, 40])),
    "box empty": body(prediction(**box(xmax=10))),
    "box turned": body(prediction(**box(ymin=50, ymax=10))),
    "box null": body(prediction(**box(xmin=None))),
    "score above 1": body(prediction(1.5)),
    "score below 0": body(prediction(-0.1)),
    "score null": body({**prediction(), "score": None}),
    "score true": body({**prediction(), "score": True}),
    "one bad among good": body(prediction(), prediction(1.5), prediction()),
    "too many": body(*[prediction()] * (MAX_CIRCLES + 1)),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused(answer: bytes) -> None:
    with pytest.raises(InvalidModelAnswer) as raised:
        parse_predictions(answer)
    assert len(str(raised.value)) > 10
    assert len(str(raised.value)) < 1000


def test_the_first_bad_circle_is_named() -> None:
    with pytest.raises(InvalidModelAnswer, match=r"circle 1 is no circle: .*score=1\.5"):
        parse_predictions(NONSENSE["one bad among good"])


def test_as_many_circles_as_fit_a_message_are_taken() -> None:
    assert len(parse_predictions(body(*[prediction()] * MAX_CIRCLES))) == MAX_CIRCLES


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def distorted(draw: st.DrawFn) -> bytes:
    """An answer with one of its values replaced by any JSON."""
    good = prediction()
    place: Any = good
    while isinstance(place[key := draw(st.sampled_from(sorted(place)))], dict) and draw(st.booleans()):
        place = place[key]
    place[key] = draw(JSON)
    return body(good)


@law
@given(st.binary(max_size=40) | JSON.map(orjson.dumps) | distorted())
@example(body(prediction(radius={"radius": 3.4e38}, **box(xmax=3.5e38))))
def test_whatever_the_answer_it_is_valid_circles_or_refused(answer: bytes) -> None:
    try:
        found = parse_predictions(answer)
    except InvalidModelAnswer:
        return
    assert found.dtype == CIRCLE
    assert invalid_circles(found) == ""
