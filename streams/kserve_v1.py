"""KServe V1 data plane: JSON, the image in base64.

`POST /v1/models/{name}:predict`, with `/versions/{version}` as in TensorFlow Serving's REST API.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from streams.circles import CIRCLE, Circles
from streams.errors import InvalidModelAnswer
from streams.kserve import Headers, Parameters, Protocol, Request, Said, checked


def request(images: Sequence[bytes], parameters: Parameters) -> Request:
    """About one image: what an answer about several looks like is left open."""
    (image,) = images
    instance = {"image": {"b64": base64.b64encode(image).decode()}}
    content = orjson.dumps({"instances": [instance], "parameters": parameters})
    return Request(content, {"content-type": "application/json"})


def read(body: bytes, headers: Headers, _images: int) -> list[Said]:
    """A prediction for each circle of the one image; the version is in a header of our own server's."""
    return [Said(parse_predictions(body), headers.get("model-version", ""))]


def parse_predictions(body: bytes) -> Circles:
    """The circles of an answer, best score first. Raises InvalidModelAnswer."""
    try:
        predictions = orjson.loads(body)["predictions"]
        if not isinstance(predictions, list):
            raise TypeError("predictions is no list")
        rows = [_row(prediction) for prediction in predictions]
        with np.errstate(over="ignore"):  # a number too large becomes infinite, which is refused below
            circles = np.array(rows, CIRCLE)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise InvalidModelAnswer(
            f"the answer is no list of circles: {type(error).__name__}: {error}; "
            f"it begins {bytes(body[:80])!r}"
        ) from error
    return checked(circles)


def _row(prediction: dict[str, Any]) -> tuple[bytes | float, ...]:
    box, centre = prediction["bounding_box"], prediction["centroid"]
    numbers = (
        centre["x"], centre["y"], prediction["radius"]["radius"], prediction.get("score", 1.0),
        box["xmin"], box["ymin"], box["xmax"], box["ymax"],
    )  # fmt: skip
    if not all(type(number) in (int, float) for number in numbers):
        raise TypeError(f"a number is missing in {prediction!r}"[:300])
    return (bytes(16), *numbers)


V1 = Protocol("v1", "", ":predict", request, read)
