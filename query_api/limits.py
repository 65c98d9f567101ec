"""Reading a request's form with its size checked while it is read, whatever its headers claim."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from query_api.errors import Problem

FORM_OVERHEAD = 65_536
"""Bytes allowed beside the file: boundaries and the other fields."""


async def read_form(request: Request, max_file_bytes: int) -> FormData:
    """The multipart form of a request. Close it after use.

    Raises Problem 413, 415, 422, and 400 where it is broken.
    """
    too_large = Problem(413, f"larger than {max_file_bytes} bytes, the most that one image may have")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem(415, "send multipart/form-data with the image in the field 'file'")
    limit = max_file_bytes + FORM_OVERHEAD
    if int(request.headers.get("content-length") or 0) > limit:
        raise too_large
    read = 0

    async def receive() -> MutableMapping[str, Any]:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise MultiPartException("too large")  # the parser's own, so that it closes its files
        return message

    try:
        form = await Request(request.scope, receive).form(
            max_files=1, max_fields=20, max_part_size=FORM_OVERHEAD
        )
    except (MultiPartException, HTTPException) as error:
        if read > limit:
            raise too_large from error
        raise Problem(400, f"the form cannot be read: {getattr(error, 'detail', error)}") from error
    file = form.get("file")
    if isinstance(file, UploadFile) and (file.size or 0) <= max_file_bytes:
        return form
    await form.close()
    if isinstance(file, UploadFile):
        raise too_large
    got = ", ".join(repr(name) for name in form) or "none"
    raise Problem(422, f"the image belongs in a form field 'file' with a file name; fields sent: {got}")
