"""What requests that change the flow have in common: a small JSON body, and answers that may be no."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Any, TypeVar

import duckdb
import psycopg
from confluent_kafka import KafkaException
from fastapi import Request
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from query_api.errors import Problem, ViewUnavailable, said
from query_api.limits import Pace, read_json
from streams.errors import LakeRefused, LogUnavailable, MissingSetting
from streams.version import VERSION, Version

AWAY = (duckdb.Error, psycopg.Error, LakeRefused, OSError)
Named = Annotated[
    str,
    Field(
        max_length=500, json_schema_extra={"pattern": VERSION}
    ),  # what is wrong is said better by its reader
    AfterValidator(lambda text: str(Version.read(text))),
]
"""A version, in its one spelling."""
Body = TypeVar("Body", bound=BaseModel)
Found = TypeVar("Found")


def body_of(example: dict[str, Any], *models: type[BaseModel]) -> dict[str, Any]:
    """The part of the OpenAPI document that describes a JSON body, which is one of the models."""
    schemas = [model.model_json_schema() for model in models]
    content = {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


async def read_as(model: type[Body], request: Request, pace: Pace) -> Body:
    """The JSON body of a request. Raises Problem 400, 408, 413, 422."""
    return checked(model, await read_json(request, pace))


def checked(model: type[Body], body: Any) -> Body:
    """A JSON body. Raises Problem 422."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Problem(422, "; ".join(said(each, each["loc"]) for each in error.errors())) from error


async def answered(question: Awaitable[Found], wrong: int = 422) -> Found:
    """An answer. Raises Problem `wrong` for what cannot be, 503; ViewUnavailable, LogUnavailable."""
    try:
        return await question
    except MissingSetting as error:
        raise Problem(503, f"this API cannot do that: {error.name.upper()} is not set for it") from error
    except ValueError as error:
        raise Problem(wrong, str(error)) from error
    except KafkaException as error:
        raise LogUnavailable(str(error)) from error
    except AWAY as error:
        raise ViewUnavailable("the view's catalog or file store does not answer") from error
