"""Each request seen once, around everything: its id, its trace, how it ended; for metrics and the access log.

A line has the path and not the query, which may hold what is nobody's business; no body and no header but
those named here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from time import perf_counter

import orjson
import uuid_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query_api.errors import Problem, response
from query_api.incoming import TRACEPARENT
from query_api.metrics import Metrics
from streams.settings import Settings

REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")
GONE = 499
"""Of a request whose client went away before its answer began, as others log it."""
MOST_PATH = 2_000
Write = Callable[[bytes], object]


def access_log(settings: Settings) -> Write | None:
    """Where lines go: to standard error, JSON whatever other lines are; nowhere from LOG_LEVEL=WARNING on.

    Not through logging, which takes ten times as long as the line itself.
    """
    return partial(os.write, sys.stderr.fileno()) if settings.log_level in ("DEBUG", "INFO") else None


class Observe:
    """The outermost layer but for Starlette's own; `write` takes the access lines."""

    def __init__(self, app: ASGIApp, metrics: Metrics, write: Write | None) -> None:
        self._app, self._metrics, self._write = app, metrics, write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        given = trace = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value
            elif name == b"traceparent":
                trace = value
        request_id = given if REQUEST_ID.fullmatch(given) else uuid_utils.uuid4().hex.encode()
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception:
            # Answered here and not further out, so that this answer has its id and is counted, too.
            if not status:
                problem = Problem(500, "an error that was not foreseen; the log has it")
                await response(problem, scope["path"])(scope, receive, observed)
            raise
        finally:
            took_s = perf_counter() - began
            self._metrics.answered(
                getattr(scope.get("route"), "path", ""), scope["method"], status or GONE, took_s
            )
            if self._write:
                self._write(_line(scope, request_id, trace, status or GONE, took_s))


def _line(scope: Scope, request_id: bytes, trace: bytes, status: int, took_s: float) -> bytes:
    client = scope.get("client")
    line = {
        "at": datetime.now(UTC),
        "request_id": request_id.decode(),
        "method": scope["method"],
        "path": scope["path"][:MOST_PATH],
        "status": status,
        "took_ms": round(took_s * 1000, 2),
        "client": client and client[0],
    }
    if trace and (match := TRACEPARENT.fullmatch(trace.decode("latin-1"))):
        line["trace_id"] = match[1]
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
