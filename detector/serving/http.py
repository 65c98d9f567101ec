"""The HTTP routes: KServe V1, the Open Inference Protocol, metrics, and the one shape of an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import orjson
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from detector import models
from detector.errors import BodyTooLarge, BodyTooSlow, DetectorError, Overloaded
from detector.models import Model
from detector.serving import body, metadata, v1, v2
from detector.serving.inference import Asked
from detector.serving.service import Service, urgency_of

RETRY_AFTER_S = "1"

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def routes(service: Service) -> list[Route]:
    async def predict_v1(request: Request) -> Response:
        return await predicted(service, "v1", request, v1.read)

    async def infer_v2(request: Request) -> Response:
        length = request.headers.get(v2.JSON_LENGTH)
        return await predicted(service, "v2", request, partial(v2.read, json_length=length))

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return [
        *both("/v2/models/{name}", "/infer", infer_v2, "POST"),
        *both("/v1/models/{name}", ":predict", predict_v1, "POST"),
        Route("/", told({"status": "alive"})),
        Route("/metrics", metrics),
        Route("/v1/models", list_models),
        *both("/v1/models/{name}", "", model_ready, "GET"),
        Route("/v2", server_metadata),
        Route("/v2/health/live", told({"live": True})),
        Route("/v2/health/ready", told({"ready": True})),
        *both("/v2/models/{name}", "", model_metadata, "GET"),
        *both("/v2/models/{name}", "/ready", model_ready, "GET"),
    ]


def both(model: str, what: str, handler: Handler, method: str) -> list[Route]:
    """The route of a model's newest version, and that of a version asked for."""
    return [
        Route(model + what, handler, methods=[method]),
        Route(f"{model}/versions/{{version}}{what}", handler, methods=[method]),
    ]


async def predicted(
    service: Service, protocol: str, request: Request, reader: Callable[[Model, bytearray], Asked]
) -> Response:
    with service.metrics.counting(protocol) as counted:
        model = counted.model = models.find(*asked(request))
        body.check_head(request, service.limits)
        urgency = urgency_of(request.headers.get("priority", ""))
        with service.queue_of(urgency).place() as place:
            read = partial(reader, model, await body.read(request, service.limits, place))
            answer = await service.answer(model, read, request.is_disconnected, urgency)
    return Response(answer.content, headers=answer.headers)


def asked(request: Request) -> tuple[str, str | None]:
    return request.path_params["name"], request.path_params.get("version")


def told(content: dict[str, Any]) -> Handler:
    async def tell(_request: Request) -> Response:
        return reply(content)

    return tell


async def list_models(_request: Request) -> Response:
    return reply({"models": models.names()})


async def model_ready(request: Request) -> Response:
    name, version = asked(request)
    models.find(name, version)
    said: dict[str, Any] = {"name": name, "ready": True}
    return reply(said | {"version": version} if version else said)


async def server_metadata(_request: Request) -> Response:
    return reply(metadata.server())


async def model_metadata(request: Request) -> Response:
    return reply(metadata.of_model(*asked(request)))


def reply(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


async def refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, DetectorError)
    response = reply({"error": str(error)}, error.status)
    if isinstance(error, BodyTooLarge | BodyTooSlow):
        response.headers["connection"] = "close"  # the rest of the body is on its way
    if isinstance(error, Overloaded):
        response.headers["retry-after"] = RETRY_AFTER_S
    return response


async def no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = reply({"error": error.detail}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def nobody_there(_request: Request, _error: Exception) -> Response:
    return reply({"error": "the client is gone"}, 400)


async def failed(_request: Request, _error: Exception) -> Response:
    # Starlette raises the error again after this answer, so that the log has its trace.
    return reply({"error": "internal error"}, 500)


ERRORS = {DetectorError: refused, HTTPException: no_route, ClientDisconnect: nobody_there, Exception: failed}
"""Every error has one shape: `{"error": reason}`."""
