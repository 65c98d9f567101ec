"""A request's body, within its limits of size and time, in its place in the queue."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from detector.errors import BodyTooLarge, BodyTooSlow, UnsupportedEncoding
from detector.serving.limits import Limits
from detector.serving.queue import Place


async def read(request: Request, limits: Limits, place: Place) -> bytearray:
    """The body. Raises BodyTooLarge at the first byte beyond the limit, BodyTooSlow, Overloaded.

    Content-Length may be missing or false, so the bytes are counted as they come; where it is true
    each is copied once.
    """
    size = announced(request)
    place.hold(size)
    body = bytearray(size)
    read = 0
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            async for chunk in request.stream():
                if read + len(chunk) > limits.max_body_bytes:
                    raise too_large(limits)
                if read + len(chunk) > place.held_bytes:
                    place.hold(read + len(chunk))
                body[read : read + len(chunk)] = chunk
                read += len(chunk)
    except TimeoutError:
        raise BodyTooSlow(f"the body did not come within {limits.body_timeout_s:g} s") from None
    place.hold(read)
    del body[read:]
    return body


def check_head(request: Request, limits: Limits) -> None:
    """What the headers tell already. Raises BodyTooLarge, UnsupportedEncoding."""
    if announced(request) > limits.max_body_bytes:
        raise too_large(limits)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedEncoding(f"send the body as it is, not in {encoding:.50}")


def announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length[:20]) if length.isdecimal() else 0


def too_large(limits: Limits) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limits.max_body_bytes} bytes")
