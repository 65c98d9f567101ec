"""The models over HTTP, by the KServe V1 protocol and the health paths of V2."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import cv2
import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from detector import models
from detector.errors import BodyTooLarge, DetectorError
from detector.images import decode
from detector.models import Model
from detector.protocol import answer, parse

MAX_BODY_BYTES = 20_000_000


def create_app(max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """The server's application. Requests beyond one per core wait for their turn."""
    cv2.setNumThreads(1)  # the parallelism is between images
    app = FastAPI(title="Circle detection, KServe V1", openapi_url=None)
    turns = asyncio.Semaphore(os.cpu_count() or 1)
    add_health(app)
    add_errors(app)

    @app.get("/v1/models")
    async def list_models() -> Response:
        return reply({"models": models.names()})

    @app.get("/v1/models/{name}")
    async def model_ready(name: str) -> Response:
        return reply({"name": models.find(name).name, "ready": True})

    @app.get("/v1/models/{name}/versions/{version}")
    async def version_ready(name: str, version: str) -> Response:
        models.find(name, version)
        return reply({"name": name, "version": version, "ready": True})

    @app.post("/v1/models/{name}:predict")
    async def predict_newest(name: str, request: Request) -> Response:
        return await run(models.find(name), request)

    @app.post("/v1/models/{name}/versions/{version}:predict")
    async def predict_version(name: str, version: str, request: Request) -> Response:
        return await run(models.find(name, version), request)

    async def run(model: Model, request: Request) -> Response:
        body = await read(request, max_body_bytes)
        async with turns:
            # A caller that gave up while waiting has likely sent its image again: without this,
            # an overloaded server would spend itself on answers nobody reads.
            if await request.is_disconnected():
                raise ClientDisconnect
            return await asyncio.to_thread(predict, model, body)

    return app


async def read(request: Request, limit: int) -> bytes:
    """The body. Raises BodyTooLarge at the first byte beyond the limit, or before the first.

    Content-Length may be missing or false, so the bytes are counted as they come.
    """
    too_large = BodyTooLarge(f"the body is larger than {limit} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise too_large
        body += chunk
    return bytes(body)


def predict(model: Model, body: bytes) -> Response:
    """Request body to response. Runs in a thread: OpenCV, Pillow and orjson take their time."""
    request = parse(body)
    start = time.perf_counter()
    circles = model.detect(decode(request.image))
    latency_ms = (time.perf_counter() - start) * 1e3
    headers = {"prediction-time-latency": f"{latency_ms:.3f}", "model-version": model.version}
    return Response(answer(circles, request.label), headers=headers, media_type="application/json")


def reply(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


def add_health(app: FastAPI) -> None:
    @app.get("/")
    async def alive() -> Response:
        return reply({"status": "alive"})

    @app.get("/v2/health/live")
    async def live() -> Response:
        return reply({"live": True})

    @app.get("/v2/health/ready")
    async def ready() -> Response:
        return reply({"ready": True})


def add_errors(app: FastAPI) -> None:
    """Every error has one shape: `{"error": reason}`."""

    @app.exception_handler(DetectorError)
    async def refused(_request: Request, error: DetectorError) -> Response:
        response = reply({"error": str(error)}, error.status)
        if isinstance(error, BodyTooLarge):
            response.headers["connection"] = "close"  # the rest of the body is on its way
        return response

    @app.exception_handler(HTTPException)
    async def no_route(_request: Request, error: HTTPException) -> Response:
        response = reply({"error": error.detail}, error.status_code)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(ClientDisconnect)
    async def nobody_there(_request: Request, _error: ClientDisconnect) -> Response:
        return reply({"error": "the client is gone"}, 400)

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> Response:
        # Starlette raises the error again after this answer, so that the log has its trace.
        return reply({"error": "internal error"}, 500)
