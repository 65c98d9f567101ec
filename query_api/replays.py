"""`/replays`: what `circles replay` does, over HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from query_api import changes
from query_api.access.caller import calling
from query_api.answers import json
from query_api.commands import AWAY, Named, answered, body_of, read_as
from query_api.errors import Problem, ViewUnavailable
from query_api.filters import in_utc, no_number
from query_api.limits import Pace
from query_api.lookup import as_uuid
from query_api.parameters import only_known
from query_api.stopping import Stopping
from streams import replay_requests, replays
from streams.errors import LogUnavailable
from streams.live_view import LiveView
from streams.reevaluation import CALLS_AT_ONCE, State
from streams.replay_progress import how_far
from streams.replays import Progress, Replay
from streams.settings import Settings
from streams.version import Version

MOST_IMAGES = 1_000
"""Named in a request: more go by `circles replay start --images`."""
MOST_MISSED = 100
LOOK_S = 1.0
"""Between looks for those who follow a replay's progress."""
Moment = Annotated[datetime, BeforeValidator(no_number), AfterValidator(in_utc)]
Text = Annotated[str, Field(max_length=1_000)]


def a_number(given: object) -> object:
    """Raises ValueError: of JSON neither a text nor true is one, and 2.0 is as good as 2."""
    if isinstance(given, bool | str):
        raise ValueError("is a number")  # noqa: TRY004 which pydantic would not take
    return given


A_NUMBER = BeforeValidator(a_number)


class Asked(BaseModel):
    """What is to be replayed: images that meet all that is said."""

    model_config = ConfigDict(extra="forbid")
    model: Named = Field(
        description="the version that is to look at them", examples=["circles:2+min_radius=20"]
    )
    since: Moment | None = Field(None, description="uploaded from then on")
    until: Moment | None = Field(None, description="uploaded before")
    source: Text | None = Field(None, description="of this camera or service")
    project: Text | None = Field(None, description="of this project")
    images: list[UUID] | None = Field(None, min_length=1, max_length=MOST_IMAGES, description="only these")
    sample: Annotated[int, Field(ge=1, le=2**53), A_NUMBER] | None = Field(
        None, description="so many of them, drawn at random"
    )
    share: Annotated[float, Field(gt=0, le=1), A_NUMBER] | None = Field(
        None, description="only so large a part of them, the same ones each time"
    )
    follow: bool = Field(
        False, strict=True, description="go on with what is uploaded from now on, until it is cancelled"
    )
    only_with_ground_truth: bool = Field(False, strict=True, description="only those that are annotated")
    calls_at_once: Annotated[int, A_NUMBER] = Field(
        CALLS_AT_ONCE, ge=1, le=256, description="model calls under way in each process"
    )


def routes(settings: Settings, view: LiveView, stopping: Stopping) -> APIRouter:
    """The router over its parts."""
    router = APIRouter(tags=["re-evaluation"], dependencies=[Depends(only_known)])
    pace = Pace(settings.upload_timeout_s, settings.upload_min_rate)

    async def found(replay_id: str) -> Replay:
        wanted = as_uuid(replay_id)
        for replay in await answered(view.ask(replays.find)):
            if replay.requested.replay_id == wanted:
                return replay
        raise Problem(404, f"there is no replay {replay_id[:80]}")

    @router.get("/replays")
    async def list_replays() -> Response:
        """All replays, newest first."""
        made = await answered(view.ask(replays.find))
        return json({"replays": list(map(shown, made)), "count": len(made)})

    @router.post("/replays", status_code=201, openapi_extra=body_of({"model": "circles:2"}, Asked))
    async def start(request: Request) -> Response:
        """Detect images of the log again by another version; it ends with what is on the log now.

        With `follow` it detects what is uploaded from now on, or `since`, beside the current version.
        """
        asked = await read_as(Asked, request, pace)
        requested, progress = await answered(
            asyncio.to_thread(
                replay_requests.request,
                settings,
                *Version.read(asked.model),
                by=calling(request).name,
                calls_at_once=asked.calls_at_once,
                since=asked.since,
                until=asked.until,
                source_id=asked.source,
                project_id=asked.project,
                images=tuple(asked.images) if asked.images else None,
                sample=asked.sample,
                share=asked.share,
                annotated=asked.only_with_ground_truth,
                follow=asked.follow,
            ),
            wrong=409,
        )
        replay = Replay(requested, "running", requested.requested_by, requested.requested_at)
        place = {"Location": f"/replays/{requested.replay_id}"}
        return json(shown(replay) | {"progress": said(progress)}, 201, place)

    @router.get("/replays/{replay_id}")
    async def show(replay_id: str) -> Response:
        """A replay, how far it is, and the first hundred images that it could not detect."""
        replay = await found(replay_id)
        number = replay.requested.replay_id
        progress = await answered(view.ask(lambda lake: how_far(settings, lake, replay)))
        missed = await answered(view.ask(lambda lake: replays.missed(lake, number, MOST_MISSED)))
        return json(shown(replay) | {"progress": said(progress), "missed": missed})

    @router.post("/replays/{replay_id}/pause")
    async def pause(request: Request, replay_id: str) -> Response:
        """Let a replay rest."""
        return await bring(request, replay_id, "paused")

    @router.post("/replays/{replay_id}/resume")
    async def resume(request: Request, replay_id: str) -> Response:
        """Go on with a replay that was paused."""
        return await bring(request, replay_id, "running")

    @router.post("/replays/{replay_id}/cancel")
    async def cancel(request: Request, replay_id: str) -> Response:
        """End a replay; what it has detected stays. One that follows is finished then."""
        return await bring(request, replay_id, "cancelled")

    async def bring(request: Request, replay_id: str, state: State) -> Response:
        replay, by = await found(replay_id), calling(request).name
        changed = asyncio.to_thread(replay_requests.change, settings, replay, state, by=by)
        state = await answered(changed, wrong=409)
        return json(shown(dataclasses.replace(replay, state=state, changed_by=by)))

    @router.get("/replays/{replay_id}/progress", response_class=changes.Answer)
    async def follow(replay_id: str) -> changes.Answer:
        """A replay's progress as server-sent events, each second until it is no longer running."""
        replay = await found(replay_id)

        async def events() -> AsyncIterator[bytes]:
            now = replay
            while not stopping.told:
                try:
                    at = await view.ask(lambda lake: how_far(settings, lake, now))  # noqa: B023 at once
                    now = await found(replay_id)
                except (Problem, ViewUnavailable, LogUnavailable, *AWAY):
                    return  # who comes back is told
                data = orjson.dumps({"state": now.shown, **said(at)})
                yield b"event: progress\ndata: %b\n\n" % data
                if now.state != "running":
                    return
                with suppress(TimeoutError):
                    async with stopping.cut(), asyncio.timeout(LOOK_S):
                        await asyncio.sleep(LOOK_S)

        return changes.Answer(events(), headers=changes.HEADERS)

    return router


def shown(replay: Replay) -> dict[str, Any]:
    """A replay as JSON has it."""
    requested = replay.requested
    return {
        "replay_id": requested.replay_id,
        "model": replay.version,
        "state": replay.shown,
        "changed_by": replay.changed_by,
        "changed_at": replay.changed_at,
        "requested_by": requested.requested_by,
        "requested_at": requested.requested_at,
        "since": requested.since,
        "until": requested.until,
        "source": requested.source_id,
        "project": requested.project_id,
        "images": requested.images and len(requested.images),
        "sample": requested.sample,
        "share": requested.share,
        "follow": requested.follow,
        "only_with_ground_truth": requested.annotated,
        "calls_at_once": requested.calls_at_once,
    }


def said(progress: Progress) -> dict[str, Any]:
    return {
        "images": progress.images,
        "detected": progress.detected,
        "missed": progress.missed,
        "left": progress.left,
        "waiting_since": progress.waiting_since,
    }
