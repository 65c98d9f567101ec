"""The model as a stage sees it: image bytes to circles, over KServe or, in dummy mode, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import httpx
import numpy as np
import stamina

from streams import kserve, kserve_v2
from streams.circles import CIRCLE, Circles
from streams.errors import InvalidModelAnswer, ModelRefuses, ModelUnavailable
from streams.kserve import Headers
from streams.kserve_v1 import V1
from streams.kserve_v2 import V2
from streams.settings import Settings
from streams.version import Value, parted

MAX_ANSWER_BYTES = 16_000_000

CANNOT_NOW = (408, 425, 429, 502, 503, 504)
"""Statuses of a server, or of a proxy before it, that may do better later."""

REFUSALS = (401, 403, 404, 405, 429)
"""A model not loaded, a missing token, too many calls: nothing that the image is to blame for."""


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
    """A model behind a KServe server. Use as a context manager.

    Unless a protocol is set, the model's metadata is asked for before the first image, and again after
    the server was away: V2, where it has the tensors we know, takes the image and gives the circles as
    bytes; else V1.
    """

    def __init__(
        self,
        settings: Settings,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        min_score: float | None = None,
        background: bool = False,
    ) -> None:
        """min_score: circles from there on, of a server that lets its callers choose. background: all others'
        images come first, where the server looks at the header Priority (RFC 9218). Raises ValueError where
        the version has parameters that are none.
        """
        settings.require("model_server_url")
        self._settings = settings
        self._set = {"v1": V1, "v2": V2}.get(settings.model_protocol)
        self._spoken = self._set
        self.images_at_once = 1
        """In a request, as the server said when it was last asked what it takes."""
        self._asking = asyncio.Lock()
        self._version, parameters = parted(settings.model_version)
        self._parameters: dict[str, Value] = {"label": settings.model_label, **parameters}
        if min_score is not None:
            self._parameters["min_score"] = min_score
        self._http = httpx.AsyncClient(
            base_url=settings.model_server_url,
            transport=transport,
            headers={"priority": "u=7"} if background else None,
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
        """Whether the server answers 200 for this model, in a protocol it may be asked in; the body is
        not looked at."""
        for protocol in (self._set,) if self._set else (V1, V2):
            try:
                response = await self._http.get(self._path(protocol) + protocol.ready_path, timeout=2)
            except httpx.HTTPError:
                return False
            if response.status_code == 200:
                return True
        return False

    async def detect(self, image: bytes) -> Answer:
        """Find circles. Raises as `detect_each`."""
        (answer,) = await self.detect_each([image])
        return answer

    async def detect_each(self, images: Sequence[bytes]) -> list[Answer]:
        """Find the circles of each image, in one request where the server takes so many in one.

        Within the total time of the settings, retries included; each answer's latency is that of them all.
        Raises ModelUnavailable when no answer came in time or the server cannot serve now, and
        InvalidModelAnswer when it answered anything that is not circles.
        """
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
                        found = await self._ask(images)
        except TimeoutError as error:
            raise ModelUnavailable(f"no answer within {self._settings.model_service_timeout:g} s") from error
        latency_ms = (asyncio.get_running_loop().time() - started) * 1000
        name, version = self._settings.model_name, self._settings.model_version
        return [
            Answer(name, version or said.version or "unversioned", latency_ms, said.circles) for said in found
        ]

    async def _ask(self, images: Sequence[bytes]) -> list[kserve.Said]:
        try:
            protocol = await self._protocol()
            most = self.images_at_once
            parts = [images[at : at + most] for at in range(0, len(images), most)]
            return [said for part in parts for said in await self._predict(protocol, part)]
        except ModelUnavailable:
            self._spoken = self._set  # what comes back may be another server
            raise

    async def _predict(self, protocol: kserve.Protocol, images: Sequence[bytes]) -> list[kserve.Said]:
        request = protocol.request(images, self._parameters)
        path = self._path(protocol) + protocol.predict_path
        status, body, headers = await self._exchange("POST", path, request.content, request.headers)
        if status == 200:
            return protocol.read(body, headers, len(images))
        said = f"the model server answered {status}: {body[:300].decode(errors='replace')}"
        if is_refusal(status, headers):
            raise ModelRefuses(said)
        if status in CANNOT_NOW or status < 400 or status >= 500:
            raise ModelUnavailable(said)
        raise InvalidModelAnswer(said)

    async def _protocol(self) -> kserve.Protocol:
        async with self._asking:  # a batch begins with one question, not with one for each image
            if self._spoken is None:
                by_v2 = await self._images_by_v2()
                self.images_at_once = max(1, by_v2)
                self._spoken = V2 if by_v2 else V1
            return self._spoken

    async def _images_by_v2(self) -> int:
        """How many a request may have in V2; 0 where the server does not speak it."""
        try:
            status, body, headers = await self._exchange("GET", self._path(V2))
        except InvalidModelAnswer:  # too long to be metadata
            return 0
        if status in CANNOT_NOW:
            kind = ModelRefuses if is_refusal(status, headers) else ModelUnavailable
            raise kind(f"the model server answered {status} when asked for the model's metadata")
        return kserve_v2.images_at_once(body) if status == 200 else 0

    def _path(self, protocol: kserve.Protocol) -> str:
        path = f"/{protocol.name}/models/{self._settings.model_name}"
        return f"{path}/versions/{self._version}" if self._version else path

    async def _exchange(
        self, method: str, path: str, content: bytes = b"", headers: Headers | None = None
    ) -> tuple[int, bytes, Headers]:
        """Status, body and headers of an answer. Raises ModelUnavailable, InvalidModelAnswer."""
        try:
            async with self._http.stream(method, path, content=content, headers=headers) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise InvalidModelAnswer(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        except httpx.HTTPError as error:
            raise ModelUnavailable(f"{type(error).__name__}: {error}") from error
        return response.status_code, bytes(body), response.headers


def is_refusal(status: int, headers: Headers) -> bool:
    """Whether a status tells of the server or of us, whatever the image: a full queue says when to retry."""
    return status in REFUSALS or (status == 503 and "retry-after" in headers)
