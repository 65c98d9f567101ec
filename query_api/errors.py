"""What a request can end with, and its problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from detector.errors import InvalidImage
from streams.errors import (
    CatalogUnavailable,
    DuplicateImage,
    LogUnavailable,
    RegistryUnavailable,
    StoreUnavailable,
)


class Problem(Exception):
    """A request that ends with `status`; `detail` says what was wrong and what would be right."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers, more


class ViewUnavailable(Exception):
    """The view cannot be read now."""


class SnapshotGone(Exception):
    """What is asked for was seen by a snapshot of the lake that is not kept any more."""


class TooLong(Exception):
    """A question to the lake took longer than it may."""


UNAVAILABLE = (CatalogUnavailable, LogUnavailable, RegistryUnavailable, StoreUnavailable, ViewUnavailable)


def response(problem: Problem, instance: str) -> Response:
    """The `application/problem+json` answer."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        **problem.more,
    }
    return Response(
        orjson.dumps(body, default=str), problem.status, problem.headers, "application/problem+json"
    )


def said(error: Mapping[str, Any], place: Sequence[int | str]) -> str:
    """What is wrong, as pydantic says it, and where: `limit: Input should be ...`."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in ("model_type", "model_attributes_type"):
        message = "send a JSON object"
    return f"{'.'.join(map(str, place))}: {message}" if place else message


def _problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case InvalidImage():
            return Problem(400, str(error))
        case DuplicateImage():
            location = {"Location": f"/images/{error.image_id}"}
            return Problem(409, str(error), location, image_id=error.image_id)
        case _ if isinstance(error, UNAVAILABLE):
            return Problem(503, f"try again soon: {error}", {"Retry-After": "2"})
        case SnapshotGone():
            return Problem(410, str(error))
        case TooLong():
            return Problem(504, f"{error}: ask for less, like a shorter time with since= and until=")
        case RequestValidationError():
            return Problem(422, "; ".join(said(each, each["loc"][1:]) for each in error.errors()))
        case HTTPException():
            return Problem(error.status_code, error.detail, error.headers)
    raise error


def install(app: FastAPI) -> None:
    """Answer every expected error of `app` with problem details."""

    async def answer(request: Request, error: Exception) -> Response:
        return response(_problem(error), request.url.path)

    async def unforeseen(request: Request, _: Exception) -> Response:
        return response(Problem(500, "an error that was not foreseen; the log has it"), request.url.path)

    app.add_exception_handler(Exception, unforeseen)
    expected = (
        Problem,
        SnapshotGone,
        TooLong,
        InvalidImage,
        DuplicateImage,
        RequestValidationError,
        HTTPException,
        *UNAVAILABLE,
    )
    for kind in expected:
        app.add_exception_handler(kind, answer)
