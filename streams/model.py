"""The model as a stage sees it: image bytes to circles, over KServe V1 or, in dummy mode, without a server.

Protocol: KServe V1 data plane, `POST /v1/models/{name}:predict` (with `/versions/{version}` as in
TensorFlow Serving's REST API where a version is asked for).
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import numpy as np
import orjson
import stamina

from streams.errors import InvalidModelAnswer, ModelUnavailable
from streams.records import CIRCLE, Circles, invalid_circles
from streams.settings import Settings

MAX_ANSWER_BYTES = 16_000_000
MAX_CIRCLES = 20_000
"""More would not fit a message of the log (48 bytes each, 1 MiB in all)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said of one image; the circles have no ids yet."""

    model_name: str
    model_version: str
    latency_ms: float
    circles: Circles


class Model(Protocol):
    async def detect(self, image: bytes) -> Answer:
        """Find circles. Raises ModelUnavailable, InvalidModelAnswer."""

    async def ready(self) -> bool:
        """Whether a call now may succeed."""


class DummyModel:
    """One fixed circle for every image, for work without a model."""

    async def detect(self, image: bytes) -> Answer:  # noqa: ARG002 it looks at nothing
        circles = np.zeros(1, CIRCLE)
        circles[["x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max"]] = (
            30, 30, 20, 1, 10, 10, 50, 50,
        )  # fmt: skip
        return Answer("dummy", "1", 0.0, circles)

    async def ready(self) -> bool:
        return True


class KServeModel:
    """A model behind a KServe V1 server. Use as a context manager."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        settings.require("model_server_url")
        self._settings = settings
        self._path = f"/v1/models/{settings.model_name}"
        if settings.model_version:
            self._path += f"/versions/{settings.model_version}"
        self._http = httpx.AsyncClient(
            base_url=settings.model_server_url,
            transport=transport,
            timeout=httpx.Timeout(settings.model_service_timeout, connect=2),
            limits=httpx.Limits(max_connections=settings.model_concurrency + 1),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ready(self) -> bool:
        """Whether the server answers 200 for this model; the body is not looked at."""
        try:
            return (await self._http.get(self._path, timeout=2)).status_code == 200
        except httpx.HTTPError:
            return False

    async def detect(self, image: bytes) -> Answer:
        """Find circles, within the total time of the settings, retries included.

        Raises ModelUnavailable when no answer came in time or the server cannot serve now, and
        InvalidModelAnswer when it answered anything that is not circles.
        """
        request = orjson.dumps(
            {
                "instances": [{"image": {"b64": base64.b64encode(image).decode()}}],
                "parameters": {"label": self._settings.model_label},
            }
        )
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._settings.model_service_timeout):
                async for attempt in stamina.retry_context(
                    on=ModelUnavailable,
                    attempts=self._settings.model_service_retries + 1,
                    timeout=self._settings.model_service_timeout,
                    wait_initial=0.1,
                    wait_max=2,
                    wait_jitter=0.5,
                ):
                    with attempt:
                        body, headers = await self._post(request)
        except TimeoutError as error:
            raise ModelUnavailable(f"no answer within {self._settings.model_service_timeout:g} s") from error
        latency_ms = (asyncio.get_running_loop().time() - started) * 1000
        version = self._settings.model_version or headers.get("model-version", "unversioned")
        return Answer(self._settings.model_name, version, latency_ms, parse_predictions(body))

    async def _post(self, request: bytes) -> tuple[bytes, httpx.Headers]:
        url = f"{self._path}:predict"
        json_type = {"content-type": "application/json"}
        try:
            async with self._http.stream("POST", url, content=request, headers=json_type) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise InvalidModelAnswer(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        except httpx.HTTPError as error:
            raise ModelUnavailable(f"{type(error).__name__}: {error}") from error
        status = response.status_code
        if status == 200:
            return bytes(body), response.headers
        said = f"the model server answered {status}: {body[:300].decode(errors='replace')}"
        # A model not loaded, a missing token, a redirect are for an operator; the rest is about this image.
        if status in (401, 403, 404, 405, 408, 425, 429) or status < 400 or status >= 500:
            raise ModelUnavailable(said)
        raise InvalidModelAnswer(said)


def parse_predictions(body: bytes) -> Circles:
    """The circles of a KServe V1 answer, best score first. Raises InvalidModelAnswer."""
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
    if len(circles) > MAX_CIRCLES:
        raise InvalidModelAnswer(f"{len(circles)} circles; at most {MAX_CIRCLES} fit a message")
    if wrong := invalid_circles(circles):
        raise InvalidModelAnswer(wrong)
    return circles[np.argsort(-circles["score"], kind="stable")]


def _row(prediction: dict[str, Any]) -> tuple[bytes | float, ...]:
    box, centre = prediction["bounding_box"], prediction["centroid"]
    numbers = (
        centre["x"], centre["y"], prediction["radius"]["radius"], prediction.get("score", 1.0),
        box["xmin"], box["ymin"], box["xmax"], box["ymax"],
    )  # fmt: skip
    if not all(type(number) in (int, float) for number in numbers):
        raise TypeError(f"a number is missing in {prediction!r}"[:300])
    return (bytes(16), *numbers)
