"""`POST /images/objects`: the circles of many images in one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from query_api.access.caller import calling
from query_api.answers import json, read_from
from query_api.errors import Problem
from query_api.images import ModelAsked, named
from query_api.limits import Pace, read_json
from query_api.listing import model_of, named_object, objects_of
from query_api.lookup import as_uuid
from query_api.versions import Looked, looked
from query_api.view.questions import Question
from query_api.view.reading import View
from streams.settings import Settings

MOST = 500
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["image_ids"],
                    "additionalProperties": False,
                    "properties": {
                        "image_ids": {
                            "type": "array", "minItems": 1, "maxItems": MOST,
                            "items": {"type": "string", "format": "uuid"},
                        }
                    },
                },
                "example": {"image_ids": ["01939f3e-8a00-7c3f-9d52-6f1c0e8a4b21"]},
            }
        },
    }
}  # fmt: skip


def routes(settings: Settings, view: View, moment: Callable[..., Any]) -> APIRouter:
    """The router over its parts. moment: the dependency that gives the snapshot to read, None for now."""
    router = APIRouter(tags=["images"])
    pace = Pace(settings.upload_timeout_s, settings.upload_min_rate)

    @router.post("/images/objects", openapi_extra=BODY)
    async def objects_of_images(
        request: Request,
        model: ModelAsked = None,
        at: int | None = Depends(moment),
    ) -> Response:
        """The circles of up to 500 images, best score first; `missing` lists ids that are not in the view."""
        asked = named(model)
        wanted = _ids(await read_json(request, pace))
        project, headers = calling(request).project, read_from(view.seen, calling(request), at)
        question = Question("images", ("among",), values={"images": wanted}, count=len(wanted))
        rows = {row["image_id"]: row for row in await view.rows(question.within(project), at)}
        missing = [image_id for image_id in wanted if image_id not in rows]
        if not asked.is_served:
            seen = await looked(view, list(rows), asked, project, at)
            images = [of_versions(i, seen.get(i, Looked([], []))) for i in wanted if i in rows]
            return json({"images": images, "count": len(images), "missing": missing}, 200, headers)
        detected = {image_id: of for image_id, row in rows.items() if (of := model_of(row))}
        found = await view.circles(detected, project, at)
        images = [
            {
                "image_id": image_id,
                "status": rows[image_id]["status"],
                "count": len(found.get(image_id, ())),
                "objects": objects_of(found.get(image_id, ())),
            }
            for image_id in wanted
            if image_id in rows
        ]
        return json({"images": images, "count": len(images), "missing": missing}, 200, headers)

    return router


def of_versions(image_id: UUID, found: Looked) -> dict[str, Any]:
    """An image whose status is what the versions asked for have made of it."""
    return {
        "image_id": image_id,
        "status": "detected" if found.detections else "pending",
        "count": len(found.objects),
        "objects": [named_object(each) for each in found.objects],
        "detections": found.detections,
    }


def _ids(body: Any) -> list[UUID]:
    """Each id once, in their order. Raises Problem 422."""
    texts = body.get("image_ids") if isinstance(body, dict) and body.keys() == {"image_ids"} else None
    if not isinstance(texts, list) or not 0 < len(texts) <= MOST:
        raise Problem(422, f'send {{"image_ids": [...]}} with 1 to {MOST} ids')
    ids = [as_uuid(text) if isinstance(text, str) else None for text in texts]
    if None in ids:
        raise Problem(422, f"image_ids: {texts[ids.index(None)]!r} is no id")
    return list(dict.fromkeys(filter(None, ids)))
