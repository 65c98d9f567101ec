"""`/promotions`: what `circles promote` does, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from query_api import apart
from query_api.access.caller import calling
from query_api.access.seal import Seal
from query_api.answers import json
from query_api.commands import Named, answered, body_of, checked
from query_api.comparing.asked import Required
from query_api.comparing.asking import Comparisons
from query_api.errors import Problem
from query_api.limits import Pace, read_json
from query_api.moments import HEADER
from query_api.parameters import only_known
from streams import promotions
from streams.live_view import LiveView
from streams.settings import Settings
from streams.version import Version

EXAMPLE = {"model": "circles:2", "require": ["f1@.5 >= .95", "f1@.5 not worse than current"]}


class Forward(BaseModel):
    """To a version."""

    model_config = ConfigDict(extra="forbid")
    model: Named = Field(examples=["circles:2"])
    require: list[Annotated[str, Field(max_length=200)]] = Field(
        [],
        max_length=50,
        description="what it has to meet on ground truth, else it is not promoted",
        examples=[["f1@.5 >= .95", "f1@.5 not worse than current"]],
    )


class Back(BaseModel):
    """To the version before the current one."""

    model_config = ConfigDict(extra="forbid")
    back: Literal[True]


def routes(settings: Settings, view: LiveView, comparisons: Comparisons, seal: Seal) -> APIRouter:
    """The router over its parts."""
    router = APIRouter(tags=["re-evaluation"], dependencies=[Depends(only_known)])
    pace = Pace(settings.upload_timeout_s, settings.upload_min_rate)

    @router.get("/promotions")
    async def list_promotions() -> Response:
        """The current version, and all promotions, newest first."""
        made = await answered(view.ask(promotions.history))
        now = await answered(view.ask(promotions.current))
        rows = [
            each._asdict()
            | {"version": str(each.version), "previous": str(each.previous)}
            | {"evidence": orjson.loads(each.evidence)}
            for each in made
        ]
        return json({"current": now and str(now), "promotions": rows, "count": len(rows)})

    @router.post("/promotions", status_code=201, openapi_extra=body_of(EXAMPLE, Forward, Back))
    async def promote(request: Request) -> Response:
        """Make a version the current one: its detections are served, and it detects what is uploaded.

        Where it does not meet what is required of it, nothing is promoted: `required` of the problem has each
        requirement, whether it is met, and by what figure and interval. A read with `?after=` the
        `Circles-Position` of the answer is served what it says.
        """
        body = await read_json(request, pace)
        evidence: list[tuple[str, str]] = []
        if back := isinstance(body, dict) and "back" in body:
            checked(Back, body)
            made = await answered(view.ask(promotions.history))
            if not made:
                raise Problem(409, "nothing was promoted yet: there is nothing to go back to")
            version = made[0].previous
        else:
            asked = checked(Forward, body)
            version = Version.read(asked.model)
            if asked.require:
                evidence = await met(request, asked)
        by = calling(request).name
        previous, covered, snapshot = await answered(
            asyncio.to_thread(
                promotions.promote,
                settings,
                version,
                by=by,
                back=back,
                evidence=evidence,
            ),
            wrong=409,
        )
        answer = {"current": str(version), "previous": str(previous), **covered._asdict()}
        return json(answer, 201, {HEADER: seal.close(snapshot, calling(request))})

    async def met(request: Request, asked: Forward) -> list[tuple[str, str]]:
        """The requirements, and by what each is met. Raises Problem 409 where one is not."""
        required = Required(settings, asked.model, asked.require)
        answer = await comparisons.answer(required, lambda: apart.gone(request), nothing=409)
        held = orjson.loads(answer)
        if missed := [each for each in held if not each["is_met"]]:
            said = "; ".join(f"{each['requirement']}: {each['because']}" for each in missed)
            raise Problem(409, f"{asked.model} is not promoted: {said}", required=held)
        return [(each["requirement"], each["because"]) for each in held]

    return router
