"""KServe V1: a JSON prediction request in, predictions out.

Source: KServe's V1 data plane, and TensorFlow Serving's REST API for `b64` and for versions.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson

from detector.circles import Circles
from detector.errors import InvalidRequest
from detector.models import Model
from detector.serving import inference, parameters
from detector.serving.inference import Answer, Asked, Found
from detector.serving.limits import MAX_IMAGES
from detector.serving.parameters import Parameters

FORMS = 'send {"instances": [{"image": {"b64": "..."}}]} or {"inputs": [{"data": "..."}]}'


class Request(NamedTuple):
    """Encoded images, and how to look for circles in them."""

    images: list[bytes]
    parameters: Parameters


def read(model: Model, body: bytes | bytearray) -> Asked:
    """A request's body. Raises InvalidRequest."""
    request = parse(body)
    return Asked(request.images, request.parameters, partial(respond, model, request.parameters.label))


def respond(model: Model, label: str, found: Found) -> Answer:
    return inference.answer(model, found, predictions(found.circles, label), "application/json")


def parse(body: bytes | bytearray) -> Request:
    """Read either form of request, with one image or several. Raises InvalidRequest.

    {"instances": [{"image": {"b64": "..."}}], "parameters": {"label": "coin", "min_radius": 5}}
    {"inputs": [{"data": "..."}]}
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    match request:
        case {"instances": _, "inputs": _}:
            raise InvalidRequest("send either 'instances' or 'inputs', not both")
        case {"instances": [_, *_] as given} | {"inputs": [_, *_] as given}:
            if len(given) > MAX_IMAGES:
                raise InvalidRequest(f"{len(given)} images in a request: send at most {MAX_IMAGES}")
        case _:
            raise InvalidRequest(FORMS)
    member = "instances" if "instances" in request else "inputs"
    images = [decode_base64(encoded_in(member, each)) for each in given]
    return Request(images, parameters.parse(request.get("parameters")))


def encoded_in(member: str, instance: object) -> str:
    match member, instance:
        case ("instances", {"image": {"b64": str(encoded)}}) | ("inputs", {"data": str(encoded)}):
            return encoded
    raise InvalidRequest(FORMS)


def decode_base64(encoded: str) -> bytes:
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise InvalidRequest(f"the image is not base64: {error}") from None


def predictions(circles: Sequence[Circles], label: str) -> bytes:
    """The JSON of a response, in pixels of each image, best first.

    Of one image its circles; of several a list of circles for each.
    """
    each = [[prediction(row, label) for row in found.tolist()] for found in circles]
    return orjson.dumps({"predictions": each[0] if len(each) == 1 else each})


def prediction(row: tuple[float, ...], label: str) -> dict[str, Any]:
    x, y, radius, score, x_min, y_min, x_max, y_max, *_ellipse = row
    return {
        "bounding_box": {"xmin": x_min, "ymin": y_min, "xmax": x_max, "ymax": y_max},
        "centroid": {"x": x, "y": y},
        "radius": {"radius": radius},
        "label": label,
        "score": score,
    }
