"""What an upload brings, whether in a form or by a URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from fastapi import Request
from starlette.datastructures import UploadFile

from query_api.errors import Problem
from query_api.fetch import Fetcher
from query_api.filters import in_utc
from query_api.limits import Pace, is_form, read_form, read_json
from query_api.patterns import JSON_OR_NOTHING, NO_NUL, PROJECT
from streams.settings import Settings

MOST_SOURCE = 200
"""Characters, as lists take (`filters.Text`)."""
ABOUT = ("source", "project", "captured_at", "attributes")
FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP"},
            "source": {
                "type": "string", "maxLength": MOST_SOURCE, "pattern": NO_NUL,
                "description": "camera or service", "examples": ["gate"],
            },
            "project": {
                "type": "string", "pattern": PROJECT, "description": "for callers of all projects",
            },
            "captured_at": {
                "anyOf": [
                    {"type": "string", "format": "date-time"},
                    {"type": "string", "format": "date"},
                    {"type": "string", "maxLength": 0},
                ]
            },
            "attributes": {
                "type": "string", "pattern": JSON_OR_NOTHING, "description": "a JSON object of strings",
                "examples": ['{"lane": "3"}'],
            },
        },
    },
    "encoding": {"file": {"contentType": "image/jpeg, image/png, image/webp"}},
}  # fmt: skip
BY_URL: dict[str, Any] = {
    "schema": {
        "type": "object",
        "description": "the API fetches the image",
        "required": ["url"],
        "additionalProperties": False,
        "properties": {
            "url": {"type": "string", "format": "uri"},
            "source": {"type": "string", "maxLength": MOST_SOURCE, "pattern": NO_NUL},
            "project": {"type": "string", "pattern": PROJECT},
            "captured_at": {"type": "string", "format": "date-time"},
            "attributes": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
    "example": {"url": "https://camera.example/latest.jpg", "source": "gate"},
}
TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Incoming:
    data: bytes
    project: str
    source_id: str
    captured_at: datetime | None
    attributes: dict[str, str]


def body(settings: Settings) -> dict[str, Any]:
    """What the OpenAPI document says of an upload's body; by URL only where that is allowed."""
    content = {"multipart/form-data": FORM} | ({"application/json": BY_URL} if settings.upload_by_url else {})
    return {"requestBody": {"required": True, "content": content}}


class Reader:
    """Reads the body of an upload, within its limits of size and time."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.max_upload_size
        self._pace = Pace(settings.upload_timeout_s, settings.upload_min_rate)
        self._fetcher = Fetcher(settings) if settings.upload_by_url else None

    async def read(self, request: Request) -> Incoming:
        """Raises Problem 400, 408, 413, 415, 422."""
        if is_form(request):
            return await self._form(request)
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise Problem(415, "send multipart/form-data with the image in the field 'file'")
        if self._fetcher is None:
            raise Problem(
                415,
                "send multipart/form-data with the image in the field 'file'; by URL needs UPLOAD_BY_URL=1",
            )
        body = await read_json(request, self._pace)
        url = body.get("url") if isinstance(body, dict) and body.keys() <= {"url", *ABOUT} else None
        if not isinstance(url, str):
            raise Problem(422, f'send {{"url": ...}} with no more than {", ".join(ABOUT)}')
        found = about(body)  # before the fetch, as it may be wrong
        return Incoming(await self._fetcher.get(url), *found)

    async def _form(self, request: Request) -> Incoming:
        form = await read_form(request, self._max_bytes, self._pace)
        try:
            fields = dict(form)
            file = fields.pop("file")
            assert isinstance(file, UploadFile)
            if unknown := fields.keys() - set(ABOUT):
                names = ", ".join(sorted(unknown))
                raise Problem(422, f"{names}: a form has file, {', '.join(ABOUT)}, and nothing else")
            if text := fields.get("attributes"):
                try:
                    fields["attributes"] = orjson.loads(str(text))
                except ValueError:
                    fields["attributes"] = "no JSON"
            return Incoming(await file.read(), *about(fields))
        finally:
            await form.close()


def traceparent(request: Request) -> bytes | None:
    """The W3C trace context that a request came with, where it is one."""
    text = request.headers.get("traceparent", "")
    return text.encode() if TRACEPARENT.fullmatch(text) else None


def about(fields: Mapping[str, Any]) -> tuple[str, str, datetime | None, dict[str, str]]:
    """Project, source, time and attributes. Raises Problem 422."""
    project, source = ("" if fields.get(name) is None else fields[name] for name in ("project", "source"))
    if not isinstance(project, str) or not isinstance(source, str):
        raise Problem(422, "source and project must be text")
    if len(source) > MOST_SOURCE or "\0" in source:
        raise Problem(422, f"source has at most {MOST_SOURCE} characters, and no NUL: lists are asked by it")
    return (
        project,
        source,
        _captured_at(fields.get("captured_at")),
        _attributes(fields.get("attributes")),
    )


def _captured_at(text: Any) -> datetime | None:
    if text is None or text == "":
        return None
    try:
        return in_utc(datetime.fromisoformat(str(text)))
    except ValueError as error:
        raise Problem(
            422, f"captured_at must be an ISO 8601 time like 2026-01-31T12:00:00Z, not {text!r}"
        ) from error


def _attributes(found: Any) -> dict[str, str]:
    if found is None or found == "":
        return {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise Problem(422, 'attributes must be a JSON object of strings like {"lane": "3"}')
    return found
