"""The Open Inference Protocol (KServe V2) with its binary tensor data extension: images and circles as bytes.

A request's and an answer's body is JSON that describes tensors, then the tensors' bytes one after
another; the header Inference-Header-Content-Length says where the JSON ends. Sources: KServe's
"Open Inference Protocol" and "Binary Tensor Data Extension".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from streams.circles import CIRCLE, Circles
from streams.errors import InvalidModelAnswer
from streams.kserve import MAX_CIRCLES, Headers, Parameters, Protocol, Request, Said, checked

JSON_LENGTH = "inference-header-content-length"

COLUMNS = ("x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max", "major", "minor", "angle")
"""Of the output `circles`. The record has no ellipse, so the last three are checked and left."""

Rows = NDArray[np.float32]
"""(n, 11): the columns above."""

MOST_IMAGES = 64
"""In a request, however many a server says it takes."""
MOST_TENSORS = 100
MOST_VERSION = 200
"""Characters."""


def request(images: Sequence[bytes], parameters: Parameters) -> Request:
    """Images as the BYTES tensor `encoded` of shape [n]: of each its length in four bytes, then itself."""
    encoded = {
        "name": "encoded",
        "datatype": "BYTES",
        "shape": [len(images)],
        "parameters": {"binary_data_size": 4 * len(images) + sum(map(len, images))},
    }
    head = orjson.dumps({"inputs": [encoded], "parameters": {**parameters, "binary_data_output": True}})
    elements = (part for image in images for part in (len(image).to_bytes(4, "little"), image))
    content = b"".join((head, *elements))
    return Request(content, {"content-type": "application/octet-stream", JSON_LENGTH: str(len(head))})


def images_at_once(metadata: bytes) -> int:
    """How many images a request may have, by a model's metadata; 0 where it has not the tensors of here."""
    try:
        model = orjson.loads(metadata)
        inputs = {(tensor["name"], tensor["datatype"]): tensor.get("shape") for tensor in model["inputs"]}
        outputs = {(tensor["name"], tensor["datatype"]) for tensor in model["outputs"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        return 0
    if ("encoded", "BYTES") not in inputs or not outputs >= {("circles", "FP32"), ("counts", "INT64")}:
        return 0
    return MOST_IMAGES if inputs["encoded", "BYTES"] in ([-1], [-1, 1]) else 1


def read(body: bytes, headers: Headers, images: int) -> list[Said]:
    """The circles of each image asked about. Nothing of the body is used before its size is right."""
    said, data = split(body, headers.get(JSON_LENGTH))
    tensors = described(said, data)
    rows = circle_rows(tensors.get("circles"), images)
    counts = tensors.get("counts")
    if counts is None or counts[:2] != ("INT64", [images]) or len(counts.data) != 8 * images:
        raise InvalidModelAnswer(f"the answer has no counts, INT64 of shape [{images}]")
    each = np.frombuffer(counts.data, "<i8").tolist()
    if sum(each) != len(rows) or min(each) < 0:
        raise InvalidModelAnswer(f"the answer has {len(rows)} circles and counts {str(each)[1:-1]:.200}")
    if not np.isfinite(rows).all():
        raise InvalidModelAnswer("a number of the answer is not finite")
    version = said.get("model_version", "")
    if not isinstance(version, str) or len(version) > MOST_VERSION:
        raise InvalidModelAnswer(f"model_version is no short text: {version!r:.100}")
    ends = np.cumsum(each).tolist()
    return [
        Said(checked(as_circles(rows[end - count : end])), version)
        for count, end in zip(each, ends, strict=True)
    ]


def split(body: bytes, json_length: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON and the bytes behind it."""
    length = str(len(body)) if json_length is None else json_length
    if not (length.isascii() and length.isdecimal() and len(length) < 20 and int(length) <= len(body)):
        raise InvalidModelAnswer(f"{JSON_LENGTH} is {length!r:.40} of a body of {len(body)} bytes")
    view = memoryview(body)
    try:
        said = orjson.loads(view[: int(length)])
    except orjson.JSONDecodeError as error:
        raise InvalidModelAnswer(f"the answer is not JSON: {error}; it begins {body[:80]!r}") from error
    if not isinstance(said, dict):
        raise InvalidModelAnswer(f"the answer is no object: it begins {body[:80]!r}")
    return said, view[int(length) :]


class Tensor(NamedTuple):
    datatype: str
    shape: list[Any]
    data: memoryview


def described(said: dict[str, Any], data: memoryview) -> dict[str, Tensor]:
    """The outputs by name, each with its part of the bytes; no byte is left over."""
    outputs = said.get("outputs")
    if not isinstance(outputs, list) or len(outputs) > MOST_TENSORS:
        raise InvalidModelAnswer(f"the answer has no list of outputs: it is {said!r:.200}")
    tensors: dict[str, Tensor] = {}
    start = 0
    for output in outputs:
        match output:
            case {
                "name": str(name),
                "datatype": str(datatype),
                "shape": list(shape),
                "parameters": {"binary_data_size": int(size)},
            } if type(size) is int and name not in tensors:
                pass
            case _:
                raise InvalidModelAnswer(f"an output is no tensor of binary data: {output!r:.200}")
        if not 0 <= size <= len(data) - start:
            raise InvalidModelAnswer(
                f"output {name:.50} has {size} bytes, {len(data) - start} are behind the JSON"
            )
        tensors[name] = Tensor(datatype, shape, data[start : start + size])
        start += size
    if start != len(data):
        raise InvalidModelAnswer(f"{len(data) - start} bytes behind the JSON belong to no output")
    return tensors


def circle_rows(tensor: Tensor | None, images: int) -> Rows:
    """A view of the answer's bytes."""
    most = images * MAX_CIRCLES
    match tensor:
        case Tensor("FP32", [int(rows), int(columns)], data) if type(rows) is int and type(columns) is int:
            pass
        case _:
            raise InvalidModelAnswer(f"the answer has no circles, FP32 of shape [n, {len(COLUMNS)}]")
    if columns != len(COLUMNS) or not 0 <= rows <= most or len(data) != rows * columns * 4:
        raise InvalidModelAnswer(
            f"circles of shape [{rows}, {columns}] in {len(data)} bytes; there are {len(COLUMNS)}"
            f" columns of 4 bytes and at most {most} circles"
        )
    return np.frombuffer(data, "<f4").reshape(rows, columns)


def as_circles(rows: Rows) -> Circles:
    circles = np.zeros(len(rows), CIRCLE)
    for column, name in enumerate(COLUMNS):
        if name in (CIRCLE.names or ()):
            circles[name] = rows[:, column]
    return circles


V2 = Protocol("v2", "/ready", "/infer", request, read)
