"""The upload route; its answer keeps contract A+B to the letter."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Request, Response
from starlette.datastructures import FormData, UploadFile

from query_api.errors import Problem
from query_api.filters import in_utc
from query_api.images import bbox, json
from query_api.limits import read_form
from query_api.positions import HEADER, written
from query_api.view import View
from query_api.waiting import Waiting
from streams.ingest.upload import Gateway
from streams.settings import Settings

FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP"},
                        "source": {"type": "string", "description": "camera or service"},
                        "captured_at": {"type": "string", "format": "date-time"},
                        "attributes": {"type": "string", "description": "a JSON object of strings"},
                    },
                }
            }
        },
    }
}


def routes(settings: Settings, gateway: Gateway, view: View, waiting: Waiting) -> APIRouter:
    """The router over its parts."""
    router = APIRouter(tags=["images"])

    @router.post("/images/", status_code=201, openapi_extra=FORM)
    @router.post("/images", status_code=201, openapi_extra=FORM, include_in_schema=False)
    async def upload(request: Request, prefer: Annotated[str, Header()] = "") -> Response:
        """Take one image in and wait for its circles.

        `detection` is null when they are not there in time or the image failed; `Prefer: respond-async`
        answers 202 at once. The same bytes again: 409 naming the first image. `Circles-Position` is where
        the image is on the log: a read with `?after=` this position sees it.
        """
        form = await read_form(request, settings.max_upload_size)
        try:
            file = form["file"]
            assert isinstance(file, UploadFile)
            image_id, partition, offset = await gateway.accept(
                await file.read(),
                source_id=str(form.get("source", ""))[:200],
                captured_at=_captured_at(form),
                attributes=_attributes(form),
                traceparent=request.headers.get("traceparent", "").encode() or None,
            )
        finally:
            await form.close()
        where = {"Location": f"/images/{image_id}", HEADER: written(partition, offset)}
        if "respond-async" in prefer:
            return json({"image_id": image_id, "detection": None}, 202, where)
        detection = None
        if await waiting.detected(image_id, settings.detection_wait_s):
            detection = await _detection(image_id)
        return json({"image_id": image_id, "detection": detection}, 201, where)

    async def _detection(image_id: UUID) -> dict[str, Any]:
        detections = [
            {
                "object_id": o["object_id"],
                "bbox": bbox(o),
                "centroid": {"x": o["x"], "y": o["y"]},
                "radius": o["radius"],
            }
            for o in await view.rows("objects", image_ids=[image_id])
        ]
        return {"detections": detections, "count": len(detections)}

    return router


def _captured_at(form: FormData) -> datetime | None:
    text = form.get("captured_at")
    if not text:
        return None
    try:
        return in_utc(datetime.fromisoformat(str(text)))
    except ValueError as error:
        raise Problem(
            422, f"captured_at must be an ISO 8601 time like 2026-01-31T12:00:00Z, not {text!r}"
        ) from error


def _attributes(form: FormData) -> dict[str, str]:
    text = form.get("attributes")
    if not text:
        return {}
    try:
        attributes = orjson.loads(str(text))
    except ValueError:
        attributes = None
    if not isinstance(attributes, dict) or not all(isinstance(v, str) for v in attributes.values()):
        raise Problem(422, 'attributes must be a JSON object of strings like {"lane": "3"}')
    return attributes
