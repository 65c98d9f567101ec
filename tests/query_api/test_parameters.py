"""A parameter that there is not is refused by name, and only where all parameters are of ours."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.testclient import TestClient
from pydantic import BaseModel

from query_api import errors
from query_api.parameters import only_known
from tests.query_api.test_document import document


class Asked(BaseModel):
    source: str | None = None
    limit: int = 10


def further(as_of: str = "") -> str:
    return as_of


def app() -> FastAPI:
    app = FastAPI()
    errors.install(app)

    @app.get("/list/{name}", dependencies=[Depends(only_known)])
    async def some(
        name: str, asked: Annotated[Asked, Query()], as_of: Annotated[str, Depends(further)]
    ) -> list[str]:
        return [name, str(asked.source), as_of]

    @app.get("/nothing", dependencies=[Depends(only_known)])
    async def nothing() -> None: ...

    return app


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/list/a?sorce=gate", "there is no parameter 'sorce': did you mean source?"),
        ("/list/a?source=gate&asof=1", "there is no parameter 'asof': did you mean as_of?"),
        ("/list/a?name=b", "there is no parameter 'name': there are source, limit, as_of"),
        ("/list/a?offset=5&limit=x", "there is no parameter 'offset': there are source, limit, as_of"),
        ("/nothing?x", "there is no parameter 'x': there are none"),
    ],
)
def test_one_that_there_is_not_is_named(path: str, reason: str) -> None:
    with TestClient(app()) as api:
        answer = api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert reason in answer.json()["detail"]


def test_those_that_there_are_are_taken() -> None:
    with TestClient(app()) as api:
        assert api.get("/list/a?source=gate&as_of=1&limit=2").json() == ["a", "gate", "1"]
        assert api.get("/list/a").status_code == 200


def test_every_parameter_of_the_api_is_in_its_document() -> None:
    """Else it would be refused."""
    paths = document("off")["paths"]
    named = {each["name"] for each in paths["/images"]["get"]["parameters"]}
    assert {"source", "limit", "cursor", "fields", "include", "after", "as_of", "min_circles"} <= named
