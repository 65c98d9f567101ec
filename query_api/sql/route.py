"""`POST /sql`: a SELECT over `images` and `circles`, answered whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from typing import IO, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response

from query_api import apart, changes
from query_api.access.caller import calling
from query_api.answers import ARROW, JSON, JSONL, fields_of, read_from, wanted
from query_api.errors import Problem
from query_api.limits import Pace, read_json
from query_api.parameters import only_known
from query_api.sql import child, source
from query_api.sql.asking import MOST_BYTES, Asking
from query_api.view.reading import View
from streams import lake, lake_files
from streams.settings import Settings

FORMATS = (ARROW, JSONL, JSON)
PIECE_BYTES = 1 << 18
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["query"],
                    "additionalProperties": False,
                    "properties": {
                        "query": {"type": "string", "minLength": 1, "description": "one SELECT of DuckDB's"},
                        "parameters": {
                            "anyOf": [{"type": "object"}, {"type": "array", "items": {}}],
                            "description": "values of its $name, or of its ?, in their order",
                        },
                    },
                },
                "example": {
                    "query": "SELECT source_id, count(*) AS images, avg(circle_count) AS circles FROM images"
                    " WHERE uploaded_at >= $since GROUP BY source_id ORDER BY images DESC",
                    "parameters": {"since": "2026-01-31T00:00:00Z"},
                },
            }
        },
    }
}


def routes(
    settings: Settings, view: View, asking: Asking, moment: Callable[..., Awaitable[int | None]]
) -> APIRouter:
    """The router over its parts. moment: the dependency that gives the snapshot to read."""
    router = APIRouter(tags=["sql"], dependencies=[Depends(only_known)])
    pace = Pace(settings.upload_timeout_s, settings.upload_min_rate)
    extensions = [lake.bundled(name) for name in lake_files.extensions(settings.lake_path)]

    def held() -> Iterator[ExitStack]:
        """What is given back once the answer is sent."""
        if not settings.query_by_sql:
            raise Problem(404, "SQL is not answered here: QUERY_BY_SQL=1 turns it on")
        with ExitStack() as stack:
            yield stack

    @router.post("/sql", openapi_extra=BODY)
    async def sql(
        request: Request, held: ExitStack = Depends(held), at: int | None = Depends(moment)
    ) -> Response:
        """The rows of one SELECT over `images` and `circles`, in DuckDB's SQL; DESCRIBE has their columns.

        As JSON, JSON lines or an Arrow stream. A query has a process of its own, with limits of memory, time
        and rows; it is answered whole, or refused with what was too much of it.
        """
        kind = wanted(request.headers.get("accept"), FORMATS)
        query, parameters = _asked(await read_json(request, pace))
        held.enter_context(asking.place())
        caller, seen = calling(request), view.seen
        found = await asyncio.to_thread(source.read, settings, caller.project, view.generation, at)
        answer = await asking.answer(
            child.Request(
                extensions=extensions,
                setup=list(found.setup),
                rows=dict(found.rows),
                paths=list(found.paths),
                bucket=lake_files.in_bucket(settings.lake_path),
                query=query,
                parameters=parameters,
                arrow=kind == ARROW,
                between="\n" if kind == JSONL else ",",
                memory_mb=settings.sql_memory_mb,
                timeout_s=settings.sql_timeout_s,
                most_rows=settings.sql_rows,
                most_bytes=MOST_BYTES,
            ),
            gone=lambda: apart.gone(request),
        )
        file = held.enter_context(closing(answer.file))
        before, behind = b"", b"\n" if kind == JSONL and answer.rows else b""
        if kind == JSON:
            more = orjson.dumps({"count": answer.rows, **fields_of(seen, caller, at)})
            before, behind = b'{"rows":[', b"]," + more[1:]
        headers = {**read_from(seen, caller, at), "Vary": "Accept"}
        return changes.Answer(_pieces(before, file, behind), headers=headers, media_type=kind)

    return router


async def _pieces(before: bytes, file: IO[bytes], behind: bytes) -> AsyncIterator[bytes]:
    file.seek(0)
    yield before
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece
    yield behind


def _asked(body: Any) -> tuple[str, dict[str, Any] | list[Any]]:
    """The query and its parameters. Raises Problem 422."""
    if not isinstance(body, dict) or not body.keys() <= {"query", "parameters"}:
        raise Problem(422, 'send {"query": "SELECT ...", "parameters": {...}}')
    query, parameters = body.get("query"), body.get("parameters", {})
    if not isinstance(query, str) or not query.strip():
        raise Problem(422, "query is a text, like SELECT count(*) FROM images")
    if not isinstance(parameters, dict | list):
        raise Problem(422, 'parameters is an object like {"since": "2026-01-31"}, or a list for ?')
    return query, parameters
