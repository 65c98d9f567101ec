"""Reading a request's body with its size and its pace checked while it comes, whatever its headers claim."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from query_api.errors import Problem

FORM_OVERHEAD = 65_536
"""Bytes allowed beside the file: boundaries and the other fields. Also the most of most JSON bodies."""
MOST_FIELDS = 20
"""Fields of a form, the file among them or not."""
GRACE_S = 5.0
"""In which a body need not have come at any pace: one packet may be lost, and sent again, and again."""
CLOSE = {"Connection": "close"}
"""To an answer before the end of its body, the rest of which would otherwise still be taken."""
THROWN_AWAY = 100_000_000
"""Bytes of a body too large by its Content-Length: who still sends when the connection is closed often sees
that and not the answer. So it is taken to its end (no longer than `serving.HEAD_S`), and none of it kept."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a body may take: `timeout_s` for all of it, `min_rate` bytes a second after GRACE_S."""

    timeout_s: float
    min_rate: int

    def due_s(self, read_bytes: int) -> float:
        """When the next bytes have to be there, in seconds from the beginning."""
        return min(self.timeout_s, GRACE_S + read_bytes / self.min_rate)


class Body:
    """A body as it is received. What ended it early is in `problem`."""

    def __init__(self, request: Request, most_bytes: int, too_large: Problem, pace: Pace) -> None:
        """Raises Problem 400 and 413 for what the headers tell already."""
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Problem(400, "Content-Length is no number", CLOSE)
        if len(length) > 20 or int(length) > most_bytes + THROWN_AWAY:
            raise too_large
        if int(length) > most_bytes:
            raise Problem(too_large.status, too_large.detail)
        self._request, self._most_bytes, self._too_large, self._pace = request, most_bytes, too_large, pace
        self._began = asyncio.get_running_loop().time()
        self._read_bytes = 0
        self.problem: Problem | None = None

    async def receive(self) -> MutableMapping[str, Any]:
        """The next message of ASGI. Raises MultiPartException, the form parser's own: it closes its files."""
        try:
            async with asyncio.timeout_at(self._began + self._pace.due_s(self._read_bytes)):
                message = await self._request.receive()
        except TimeoutError:
            raise self._over(
                Problem(
                    408,
                    f"the body came too slowly: it has {self._pace.timeout_s:g} s, and at least"
                    f" {self._pace.min_rate} bytes a second",
                    CLOSE,
                )
            ) from None
        if message["type"] == "http.disconnect":
            raise self._over(Problem(400, "the client went away before the end of its body"))
        self._read_bytes += len(message.get("body", b""))
        if self._read_bytes > self._most_bytes:
            raise self._over(self._too_large)
        return message

    def _over(self, problem: Problem) -> MultiPartException:
        self.problem = problem
        return MultiPartException(problem.detail)


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("multipart/form-data")


async def read_form(request: Request, max_file_bytes: int, pace: Pace) -> FormData:
    """The multipart form of a request. Close it after use.

    Raises Problem 408, 413, 422, and 400 where it is broken.
    """
    too_large = Problem(413, f"larger than {max_file_bytes} bytes, the most that one image may have", CLOSE)
    body = Body(request, max_file_bytes + FORM_OVERHEAD, too_large, pace)
    try:
        form = await Request(request.scope, body.receive).form(
            max_files=1, max_fields=MOST_FIELDS, max_part_size=FORM_OVERHEAD
        )
    except (MultiPartException, HTTPException) as error:
        if body.problem:
            raise body.problem from error
        raise Problem(400, f"the form cannot be read: {getattr(error, 'detail', error)}", CLOSE) from error
    file = form.get("file")
    if isinstance(file, UploadFile) and (file.size or 0) <= max_file_bytes:
        return form
    await form.close()
    if isinstance(file, UploadFile):
        raise too_large
    got = ", ".join(repr(name) for name in form) or "none"
    raise Problem(422, f"the image belongs in a form field 'file' with a file name; fields sent: {got}")


async def read_json(request: Request, pace: Pace, most_bytes: int = FORM_OVERHEAD) -> Any:
    """The JSON of a small body. Raises Problem 400, 408, 413."""
    too_large = Problem(413, f"larger than {most_bytes} bytes, the most that this JSON body may have", CLOSE)
    body = Body(request, most_bytes, too_large, pace)
    read, more = b"", True
    try:
        while more:
            message = await body.receive()
            read += message.get("body", b"")
            more = message.get("more_body", False)
    except MultiPartException:
        assert body.problem
        raise body.problem from None
    try:
        return orjson.loads(read)
    except ValueError as error:
        raise Problem(400, f"the body is no JSON: {error}") from error
