"""`/promotions`: what `circles promote` does, over HTTP."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from query_api.access.caller import calling
from query_api.answers import json
from query_api.commands import answered, body_of, read_as
from query_api.errors import Problem
from query_api.limits import Pace
from streams import promotions
from streams.current import VERSION, Version
from streams.live_view import LiveView
from streams.settings import Settings


class Promoted(BaseModel):
    """A version, or the one before the current one."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = Field(None, pattern=VERSION, examples=["circles:2"])
    back: bool = Field(False, strict=True)


def routes(settings: Settings, view: LiveView) -> APIRouter:
    """The router over its parts."""
    router = APIRouter(tags=["re-evaluation"])
    pace = Pace(settings.upload_timeout_s, settings.upload_min_rate)

    @router.get("/promotions")
    async def list_promotions() -> Response:
        """The current version, and all promotions, newest first."""
        made = await answered(view.ask(promotions.history))
        now = await answered(view.ask(promotions.current))
        rows = [
            {**each._asdict(), "version": str(each.version), "previous": str(each.previous)} for each in made
        ]
        return json({"current": now and str(now), "promotions": rows, "count": len(rows)})

    @router.post("/promotions", status_code=201, openapi_extra=body_of(Promoted, {"model": "circles:2"}))
    async def promote(request: Request) -> Response:
        """Make a version the current one: its detections are served, and it detects what is uploaded."""
        asked = await read_as(Promoted, request, pace)
        if (asked.model is None) != asked.back:
            raise Problem(422, 'send {"model": "circles:2"}, or {"back": true} for the version before')
        if asked.model is None:
            made = await answered(view.ask(promotions.history))
            if not made:
                raise Problem(409, "nothing was promoted yet: there is nothing to go back to")
            version = made[0].previous
        else:
            version = Version.read(asked.model)
        by = calling(request).name
        previous, covered = await answered(
            asyncio.to_thread(promotions.promote, settings, version, by=by, back=asked.back), wrong=409
        )
        answer = {"current": str(version), "previous": str(previous), **covered._asdict()}
        return json(answer, 201)

    return router
