"""The upload route; its answer keeps contract A+B to the letter."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response

from query_api.access.caller import calling, project_for
from query_api.access.seal import Seal
from query_api.answers import json
from query_api.incoming import Reader, body, traceparent
from query_api.moments import HEADER, written
from query_api.stopping import Stopping
from query_api.turns import Turns
from query_api.view.reading import View
from query_api.view.waiting import Waiting
from streams.ingest.upload import Gateway
from streams.settings import Settings

MOST_WAIT_S = 60.0
_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.ASCII)


def routes(
    settings: Settings,
    gateway: Gateway,
    view: View,
    waiting: Waiting,
    seal: Seal,
    turns: Turns,
    stopping: Stopping,
) -> APIRouter:
    """The router over its parts."""
    router, reader = APIRouter(tags=["images"]), Reader(settings)

    @router.post("/images/", status_code=201, openapi_extra=body(settings))
    @router.post("/images", status_code=201, openapi_extra=body(settings))
    async def upload(request: Request, prefer: Annotated[str, Header()] = "") -> Response:
        """Take one image in, sent in a form or by URL, and wait for its circles.

        `detection` is null when they are not there in time or the image failed; `Prefer: wait=N` waits for
        so many seconds, `Prefer: respond-async` for none or those of a `wait=N` beside it, and answers 202.
        The same bytes again: 409 naming the first image of the project.
        `Circles-Position` is where the image is on the log: a read with `?after=` this position sees it,
        and its circles where they are in the answer.
        """
        with turns.place():
            came = await reader.read(request)
            async with turns.turn():
                image_id, partition, offset = await gateway.accept(
                    came.data,
                    project_id=project_for(request, came.project),
                    source_id=came.source_id,
                    captured_at=came.captured_at,
                    attributes=came.attributes,
                    traceparent=traceparent(request),
                )
        del came  # those who wait for their circles are many
        where = {
            "Location": f"/images/{image_id}",
            HEADER: seal.close(written(partition, offset), calling(request)),
        }
        later, wait_s = preferred(prefer, settings.detection_wait_s)
        detection = None
        with suppress(TimeoutError):
            async with stopping.cut():
                if wait_s and await waiting.detected(image_id, wait_s):
                    detection = await _detection(image_id)
                    if view.seen:  # a read of another process must not know less than this answer
                        where[HEADER] += f",{seal.close(view.seen.snapshot, calling(request))}"
        return json(
            {"image_id": image_id, "detection": detection}, 202 if later and not detection else 201, where
        )

    async def _detection(image_id: UUID) -> dict[str, Any]:
        detections = [
            {
                "object_id": UUID(bytes=o.object_id),
                "bbox": o[5:],
                "centroid": {"x": o.x, "y": o.y},
                "radius": o.radius,
            }
            for o in (await view.circles({image_id: None}, None)).get(image_id, ())
        ]
        return {"detections": detections, "count": len(detections)}

    return router


def preferred(prefer: str, wait_s: float) -> tuple[bool, float]:
    """Whether 202 is wanted where there is nothing yet, and how many seconds to wait for it (RFC 7240).

    wait_s: of an upload that prefers nothing. More than MOST_WAIT_S is not waited for.
    """
    wanted = [preference.strip().lower() for preference in prefer.split(",")]
    later = "respond-async" in wanted
    for preference in wanted:
        if match := _WAIT.fullmatch(preference):
            return later, min(float(match[1]), MOST_WAIT_S)
    return later, 0 if later else wait_s
