"""KServe V1 bodies: a prediction request in, predictions out."""

from __future__ import annotations

import binascii
from typing import Any, NamedTuple

import orjson

from detector.circles import Circles
from detector.errors import InvalidRequest

DEFAULT_LABEL = "circle"


class PredictRequest(NamedTuple):
    """One encoded image, and the label its circles are answered with."""

    image: bytes
    label: str


def parse(body: bytes) -> PredictRequest:
    """Read either form of request, raise InvalidRequest for any other.

    {"instances": [{"image": {"b64": "..."}}], "parameters": {"label": "coin"}}
    {"inputs": [{"data": "..."}]}
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    match request:
        case {"instances": _, "inputs": _}:
            raise InvalidRequest("send either 'instances' or 'inputs', not both")
        case {"instances": [{"image": {"b64": str(encoded)}}]}:
            pass
        case {"inputs": [{"data": str(encoded)}]}:
            pass
        case {"instances": [_, _, *_]} | {"inputs": [_, _, *_]}:
            raise InvalidRequest("several images: send one at a time")
        case _:
            raise InvalidRequest(
                'send {"instances": [{"image": {"b64": "..."}}]} or {"inputs": [{"data": "..."}]}'
            )
    return PredictRequest(decode_base64(encoded), label_of(request))


def decode_base64(encoded: str) -> bytes:
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise InvalidRequest(f"the image is not base64: {error}") from None


def label_of(request: dict[str, Any]) -> str:
    match request.get("parameters"):
        case None:
            return DEFAULT_LABEL
        case {"label": str(label)}:
            return label
        case {"label": _}:
            raise InvalidRequest("parameters.label is not a string")
        case dict():
            return DEFAULT_LABEL
    raise InvalidRequest("parameters is not an object")


def answer(circles: Circles, label: str) -> bytes:
    """The JSON of an answer: one prediction per circle, best first, in pixels of the image."""
    rows = circles.tolist()  # orjson writes Python floats; one conversion for all circles
    predictions = [
        {
            "bounding_box": {"xmin": x_min, "ymin": y_min, "xmax": x_max, "ymax": y_max},
            "centroid": {"x": x, "y": y},
            "radius": {"radius": radius},
            "label": label,
            "score": score,
        }
        for x, y, radius, score, x_min, y_min, x_max, y_max, *_ellipse in rows
    ]
    return orjson.dumps({"predictions": predictions})
