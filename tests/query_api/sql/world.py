"""A view of two projects, and `POST /sql` over it without the rest of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from query_api import errors
from query_api.access.caller import OPERATOR, Caller
from query_api.access.seal import Seal
from query_api.moments import afters, moments
from query_api.sql import child, route, source
from query_api.sql.asking import MOST_BYTES, Asking
from query_api.stopping import Stopping
from query_api.view.reading import View
from query_api.view.waiting import Waiting
from streams import lake
from streams.circles import object_ids
from streams.records import Record
from streams.settings import Settings
from tests.examples import MOMENT, circles, detected, failed, retried, uploaded
from tests.lakes import fresh
from tests.streams.small_view import put

SECRET = "secret"  # noqa: S105 a word
"""In every text that only the other project has."""


def log(project: str, word: str, first: int, count: int) -> list[Record]:
    """Images, each detected, failed, retried or neither, by turns."""
    records: list[Record] = []
    for number in range(first, first + count):
        image_id = UUID(int=(number << 64) + sum(project.encode()))
        about = {"image_id": image_id, "project_id": project}
        records.append(
            uploaded(
                uri=f"file:///{word}/{number}", source_id=f"{word} {number % 3}", width=number + 1,
                uploaded_at=MOMENT + timedelta(minutes=number), attributes={word: "it's"}, **about,
            )
        )  # fmt: skip
        if number % 4 < 2:
            found = circles(number % 3 + 1)
            of = object_ids(image_id, word, "1", len(found))
            found["object_id"] = np.array([each.bytes for each in of], "V16")
            records.append(detected(model_name=word, circles=found, **about))
        elif number % 4 == 2:
            dead_letter = UUID(int=image_id.int + (1 << 100))
            records.append(failed(dead_letter_id=dead_letter, reason=f"{word} broke", **about))
            if number % 8 == 2:
                records.append(retried(dead_letter_id=dead_letter, image_id=image_id))
    return records


def view_of(url: str, folder: Path, *projects: tuple[str, str]) -> Settings:
    """A view of some projects, each with its word: 24 images of each in files, and 3 in the catalog."""
    settings = fresh(url, folder).model_copy(update={"query_by_sql": True, "sql_timeout_s": 30})
    begin = 0
    with lake.connect(settings, read_only=False) as writer:
        for first, count in ((0, 24), (24, 3)):
            for project, word in projects:
                records = log(project, word, first, count)
                put(settings, writer, records, begin)
                begin += 1000
    return settings


class As:
    """Who calls, by a header that names a project; without it, someone of all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            project = dict(scope["headers"]).get(b"project", b"").decode()
            caller = Caller(project, frozenset(("read",)), project) if project else OPERATOR
            scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


def made(settings: Settings) -> FastAPI:
    """The app; its `state.asking`, `state.stopping` and `state.waiting` are what it is made of."""
    stopping = Stopping()
    asking = Asking(settings, stopping)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asking.ahead.close()

    app = FastAPI(lifespan=lifespan)
    app.state.asking, app.state.stopping, app.state.waiting = asking, stopping, Waiting()
    view = View(settings)
    moment = moments(view, afters(app.state.waiting, Seal(), stopping, 0.2))
    errors.install(app)
    app.include_router(route.routes(settings, view, asking, moment))
    app.add_middleware(As)
    return app


def request(
    settings: Settings, query: str, project: str | None = None, at: int | None = None, **more: Any
) -> child.Request:
    """What the process of a query is told, for JSON. at: the snapshot."""
    found = source.read(settings, project, snapshot=at)
    facts: dict[str, Any] = {
        "extensions": [], "setup": list(found.setup), "rows": dict(found.rows), "paths": list(found.paths),
        "bucket": False, "query": query, "parameters": {}, "arrow": False, "between": "\n",
        "memory_mb": 256, "timeout_s": 20, "most_rows": 1000, "most_bytes": MOST_BYTES,
    }  # fmt: skip
    return child.Request(**facts | more)
