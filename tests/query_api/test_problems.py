"""One shape for every error (RFC 9457), pinned."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from detector.errors import InvalidImage
from query_api import errors
from query_api.errors import Problem, ViewUnavailable
from streams.errors import (
    CatalogUnavailable,
    DuplicateImage,
    LogUnavailable,
    RegistryUnavailable,
    StoreUnavailable,
)
from tests.examples import IMAGE_ID


def answer_to(error: Exception) -> Any:
    app = FastAPI()
    errors.install(app)

    @app.get("/here")
    def fail() -> None:
        raise error

    return TestClient(app).get("/here", params={"secret": "1"})


def problem(status: int, title: str, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "about:blank", "title": title, "status": status, "detail": detail, "instance": "/here",
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("error", "expected", "headers"),
    [
        (Problem(404, "there is no image 1"), problem(404, "Not Found", "there is no image 1"), {}),
        (
            Problem(413, "too large", {"Retry-After": "9"}, most=10),
            problem(413, "Request Entity Too Large", "too large", most=10),
            {"retry-after": "9"},
        ),
        (InvalidImage("empty: no bytes"), problem(400, "Bad Request", "empty: no bytes"), {}),
        (
            DuplicateImage(str(IMAGE_ID)),
            problem(409, "Conflict", f"the same bytes are already image {IMAGE_ID}", image_id=str(IMAGE_ID)),
            {"location": f"/images/{IMAGE_ID}"},
        ),
        *(
            (kind("x"), problem(503, "Service Unavailable", "try again soon: x"), {"retry-after": "2"})
            for kind in (
                CatalogUnavailable, LogUnavailable, RegistryUnavailable, StoreUnavailable, ViewUnavailable,
            )
        ),
        (
            HTTPException(405, "Method Not Allowed", {"Allow": "GET"}),
            problem(405, "Method Not Allowed", "Method Not Allowed"),
            {"allow": "GET"},
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_an_error_is_answered_with_problem_details(
    error: Exception, expected: dict[str, Any], headers: dict[str, str]
) -> None:
    answer = answer_to(error)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()) == (expected["status"], expected)
    assert {name: answer.headers.get(name) for name in headers} == headers


def test_a_parameter_that_cannot_be_names_itself() -> None:
    app = FastAPI()
    errors.install(app)

    @app.get("/here")
    def take(limit: int, count: int = 1) -> None: ...

    answer = TestClient(app).get("/here?count=x")
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    said = found.pop("detail")
    assert found == {name: value for name, value in problem(422, "", "").items() if name != "detail"} | {
        "title": "Unprocessable Entity"
    }
    assert "limit: Field required" in said
    assert "count: Input should be a valid integer" in said


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/here", 405)])
def test_what_no_route_takes_is_answered_so_too(method: str, path: str, status: int) -> None:
    app = FastAPI()
    errors.install(app)

    @app.get("/here")
    def take() -> None: ...

    answer = TestClient(app).request(method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"], answer.json()["instance"]) == (status, status, path)
