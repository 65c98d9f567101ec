"""Requests to the model server, as its tests send them."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import httpx
import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.applications import Starlette

JSON_LENGTH = "Inference-Header-Content-Length"


def over_asgi(app: Starlette) -> httpx.AsyncClient:
    """A client that streams bodies, which TestClient does not."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model")


def picture(width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """One disc in the middle: (H, W, 3) RGB."""
    canvas = np.full((height, width, 3), (60, 50, 40), np.uint8)
    centre = (width // 2, height // 2)
    return np.asarray(cv2.circle(canvas, centre, height // 4, (220, 200, 180), -1, cv2.LINE_AA), np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def base64_png(image: NDArray[np.uint8]) -> str:
    return base64.b64encode(png(image)).decode()


def instances(*encoded: str, **parameters: Any) -> dict[str, Any]:
    return {"instances": [{"image": {"b64": each}} for each in encoded], "parameters": parameters}


def raw(image: NDArray[np.uint8], **members: Any) -> tuple[bytes, dict[str, str]]:
    """A V2 request with pixels as binary data: its body and headers."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": image.shape}
    return binary(tensor, image.tobytes(), **members)


def binary(tensor: dict[str, Any], data: bytes, **members: Any) -> tuple[bytes, dict[str, str]]:
    described = tensor | {"parameters": {"binary_data_size": len(data)}}
    head = orjson.dumps({"inputs": [described], **members})
    return head + data, {JSON_LENGTH: str(len(head))}


def prefixed(*elements: bytes) -> bytes:
    """Elements of a BYTES tensor as binary data."""
    return b"".join(len(each).to_bytes(4, "little") + each for each in elements)
