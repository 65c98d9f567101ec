"""The KServe V2 client: its request byte by byte, and every answer that is not circles."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import numpy as np
import orjson
import pytest
from hypothesis import given

from streams.circles import CIRCLE, invalid_circles
from streams.errors import InvalidModelAnswer
from streams.kserve import MAX_CIRCLES, Said
from streams.kserve_v2 import COLUMNS, JSON_LENGTH, MOST_VERSION, read, request
from tests.streams.strategies import law

ROW = (30.0, 40.5, 20.0, 0.5, 10.0, 20.5, 50.0, 60.5, 20.0, 20.0, 0.0)
Message = tuple[bytes, dict[str, str]]


def row(**more: float) -> tuple[float, ...]:
    return tuple((dict(zip(COLUMNS, ROW, strict=True)) | more).values())


def output(name: str, datatype: str, array: Any, changes: dict[str, Any] | None) -> dict[str, Any]:
    said = {"name": name, "datatype": datatype, "shape": list(array.shape)}
    return said | {"parameters": {"binary_data_size": array.nbytes}} | (changes or {})


def answer(
    *rows: tuple[float, ...], counts: Any = None, circles: Any = None, said: Any = None, tail: bytes = b"",
    length: str | None = None, order: int = 1, **more: Any,
) -> Message:  # fmt: skip
    """An answer's body and headers; what is named differs from what it should be."""
    matrix = np.array(rows, "<f4").reshape(-1, len(COLUMNS))
    count = np.array([len(rows)], "<i8")
    outputs = [
        output("circles", "FP32", matrix, circles),
        output("counts", "INT64", count, counts),
    ][::order]
    head = orjson.dumps({"model_name": "circles", "model_version": "7", "outputs": outputs} | more)
    if said is not None:
        head = said
    data = b"".join([matrix.tobytes(), count.tobytes()][::order])
    return head + data + tail, {JSON_LENGTH: str(len(head)) if length is None else length}


def read_one(body: bytes, headers: dict[str, str]) -> Said:
    (said,) = read(body, headers, 1)
    return said


def test_the_request_is_the_agreed_one() -> None:
    image = b"\xff\xd8 an image"
    content, headers = request([image], {"label": "coin", "min_score": 0.5})
    length = int(headers[JSON_LENGTH])
    assert headers["content-type"] == "application/octet-stream"
    assert orjson.loads(content[:length]) == {
        "inputs": [
            {
                "name": "encoded",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"binary_data_size": 4 + len(image)},
            }
        ],
        "parameters": {"label": "coin", "min_score": 0.5, "binary_data_output": True},
    }
    assert content[length:] == struct.pack("<I", len(image)) + image


def test_several_images_are_elements_of_one_tensor_and_their_circles_are_told_apart() -> None:
    content, headers = request([b"one", b"", b"another"], {})
    length = int(headers[JSON_LENGTH])
    (encoded,) = orjson.loads(content[:length])["inputs"]
    assert (encoded["shape"], encoded["parameters"]) == ([3], {"binary_data_size": 22})
    assert content[length:] == b"\3\0\0\0one\0\0\0\0\7\0\0\0another"

    said = read(*several(2, 0, 1, circles=[row(x=x, score=(1 + x) / 10) for x in range(3)]), 3)
    assert [one.circles["x"].tolist() for one in said] == [[1, 0], [], [2]]
    assert [one.version for one in said] == ["7", "7", "7"]


@pytest.mark.parametrize("counts", [(3,), (1, 1), (1, 1, 1, 0), (2, 0, 2), (4, -1, 0)])
def test_counts_that_are_not_those_of_the_images_are_refused(counts: tuple[int, ...]) -> None:
    body, headers = several(*counts, circles=[ROW] * 3)
    with pytest.raises(InvalidModelAnswer, match="counts"):
        read(body, headers, 3)


def several(*counts: int, circles: Sequence[tuple[float, ...]]) -> Message:
    """An answer about several images, with so many of the circles for each."""
    body, headers = answer(*circles, counts={"shape": [len(counts)], **size(8 * len(counts))})
    return body[:-8] + np.array(counts, "<i8").tobytes(), headers


def test_the_answer_is_circles_by_score_and_the_models_version() -> None:
    said = read_one(*answer(row(score=0.25), row(score=0.75, radius=1), row(radius=3)))
    assert said.version == "7"
    assert said.circles["score"].tolist() == [0.75, 0.5, 0.25]
    assert said.circles[1].tolist() == (bytes(16), 30, 40.5, 3, 0.5, 10, 20.5, 50, 60.5)


@pytest.mark.parametrize("rows", [0, 1, MAX_CIRCLES])
def test_any_number_of_circles_up_to_what_fits_a_message(rows: int) -> None:
    assert len(read_one(*answer(*[ROW] * rows)).circles) == rows


def test_outputs_may_come_in_any_order_and_with_others() -> None:
    assert read_one(*answer(ROW, order=-1)).circles["x"].tolist() == [30]
    assert len(read_one(*answer(ROW, parameters={"label": "coin"}, id="a")).circles) == 1


def size(of: int) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": of}}


NONSENSE: dict[str, Message] = {
    "empty": (b"", {}),
    "HTML": (b"<html><body>It works!</body></html>", {}),
    "a list": answer(said=b"[]"),
    "deep": (b"[" * 100_000, {}),
    "a V1 answer": (b'{"predictions": []}', {}),
    "an error": (b'{"error": "out of memory"}', {}),
    "no length": (answer(ROW)[0], {}),
    "a length beyond the body": answer(ROW, length="100000"),
    "a length within the JSON": answer(ROW, length="20"),
    "a length beyond the JSON": answer(ROW, length="300"),
    "a length of no number": answer(ROW, length="many"),
    "a length below 0": answer(ROW, length="-1"),
    "a length without end": answer(ROW, length="9" * 10_000),
    "a length in other digits": answer(ROW, length="٣"),
    "outputs null": answer(outputs=None),
    "outputs of numbers": answer(outputs=[1]),
    "thousands of outputs": answer(outputs=[{}] * 5000),
    "no outputs": (b'{"outputs":[]}', {JSON_LENGTH: "14"}),
    "cut off": (answer(ROW)[0][:-1], answer(ROW)[1]),
    "cut off in the circles": (answer(ROW)[0][:-12], answer(ROW)[1]),
    "bytes left over": answer(ROW, tail=b"\0"),
    "size below 0": answer(ROW, circles=size(-44)),
    "size beyond the body": answer(ROW, circles=size(10**18)),
    "size too small": answer(ROW, circles=size(40)),
    "size a text": answer(ROW, circles={"parameters": {"binary_data_size": "44"}}),
    "size true": answer(ROW, circles={"parameters": {"binary_data_size": True}}),
    "JSON in place of bytes": answer(ROW, circles={"parameters": {}, "data": list(ROW)}),
    "another name": answer(ROW, circles={"name": "boxes"}),
    "one name twice": answer(ROW, counts={"name": "circles"}),
    "another type": answer(ROW, circles={"datatype": "FP16"}),
    "ten columns": answer(ROW, circles={"shape": [1, 10]}),
    "one axis": answer(ROW, circles={"shape": [11]}),
    "turned": answer(ROW, circles={"shape": [11, 1]}),
    "rows below 0": answer(ROW, circles={"shape": [-1, 11]}),
    "more rows than bytes": answer(ROW, circles={"shape": [2, 11]}),
    "rows without end": answer(ROW, circles={"shape": [2**62, 11]}),
    "rows true": answer(ROW, circles={"shape": [True, 11]}),
    "rows a fraction": answer(ROW, circles={"shape": [1.0, 11]}),
    "counts of two images": answer(ROW, counts={"shape": [2]}),
    "counts of another type": answer(ROW, counts={"datatype": "FP64"}),
    "counts of others": answer(ROW, said=answer(ROW, ROW)[0][: int(answer(ROW, ROW)[1][JSON_LENGTH])]),
    "NaN": answer(row(x=float("nan"))),
    "NaN in what is left": answer(row(angle=float("nan"))),
    "infinite": answer(row(x_max=float("inf"))),
    "radius zero": answer(row(radius=0)),
    "radius negative": answer(row(radius=-20)),
    "box empty": answer(row(x_max=10)),
    "box turned": answer(row(y_min=50, y_max=10)),
    "score above 1": answer(row(score=1.5)),
    "score below 0": answer(row(score=-0.1)),
    "one bad among good": answer(ROW, row(score=1.5), ROW),
    "too many": answer(*[ROW] * (MAX_CIRCLES + 1)),
    "a version of no text": answer(ROW, model_version=7),
    "a long version": answer(ROW, model_version="7" * (MOST_VERSION + 1)),
}


@pytest.mark.parametrize("message", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused(message: Message) -> None:
    with pytest.raises(InvalidModelAnswer) as raised:
        read_one(*message)
    assert 10 < len(str(raised.value)) < 1000


def test_a_count_that_differs_from_the_circles_is_refused() -> None:
    body, headers = answer(ROW)
    for count in (0, 2, -1, 2**63 - 1):
        with pytest.raises(InvalidModelAnswer, match=f"1 circles and counts {count}"):
            read_one(body[:-8] + struct.pack("<q", count), headers)


def valid_or_refused(body: bytes, headers: dict[str, str]) -> Said | None:
    try:
        said = read_one(body, headers)
    except InvalidModelAnswer:
        return None
    assert said.circles.dtype == CIRCLE
    assert invalid_circles(said.circles) == ""
    return said


@law
@given(st.data())
def test_whatever_bytes_are_changed_it_is_valid_circles_or_refused(data: st.DataObject) -> None:
    body, headers = answer(ROW, row(score=0.25))
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 8)))
    changed = body[:start] + data.draw(st.binary(max_size=8)) + body[end:]
    length = data.draw(st.just(headers[JSON_LENGTH]) | st.text(max_size=4) | st.integers().map(str))
    said = valid_or_refused(changed, {JSON_LENGTH: length})
    if (changed, length) == (body, headers[JSON_LENGTH]):
        assert said and len(said.circles) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@law
@given(
    st.sampled_from(["name", "datatype", "shape", "parameters"]), st.sampled_from(["circles", "counts"]), JSON
)
def test_whatever_the_json_says_it_is_valid_circles_or_refused(member: str, of: str, value: Any) -> None:
    changes: dict[str, Any] = {of: {member: value}}
    valid_or_refused(*answer(ROW, **changes))
