"""Routes for images and their circles; the first three keep contract A+B to the letter."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from starlette.datastructures import FormData, UploadFile

from query_api.errors import Problem
from query_api.limits import read_form
from query_api.view import View, by_image
from streams.errors import CatalogUnavailable, ObjectUnreadable
from streams.ingest.claims import Claims
from streams.ingest.upload import Gateway
from streams.settings import Settings
from streams.store import Store

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


def json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; bytes go out as they are, without FastAPI's own encoding."""
    return Response(orjson.dumps(body), status, headers, "application/json")


def routes(settings: Settings, gateway: Gateway, claims: Claims, store: Store, view: View) -> APIRouter:
    """The router over its parts."""
    router = APIRouter(tags=["images"])

    @router.post("/images/", status_code=201, openapi_extra=FORM)
    @router.post("/images", status_code=201, openapi_extra=FORM, include_in_schema=False)
    async def upload(request: Request, prefer: Annotated[str, Header()] = "") -> Response:
        """Take one image in and wait for its circles.

        `detection` is null when they are not there in time or the image failed; `Prefer: respond-async`
        answers 202 at once. The same bytes again: 409 naming the first image.
        """
        form = await read_form(request, settings.max_upload_size)
        file = form["file"]
        assert isinstance(file, UploadFile)
        image_id = await gateway.accept(
            await file.read(),
            source_id=str(form.get("source", ""))[:200],
            captured_at=_captured_at(form),
            attributes=_attributes(form),
            traceparent=(request.headers.get("traceparent") or "").encode() or None,
        )
        location = {"Location": f"/images/{image_id}"}
        if "respond-async" in prefer:
            return json({"image_id": image_id, "detection": None}, 202, location)
        detection = None
        if await view.wait_for(image_id, settings.detection_wait_s):
            detection = await _detection(image_id)
        return json({"image_id": image_id, "detection": detection}, 201, location)

    @router.get("/images/{image_id}/objects")
    async def objects(image_id: str) -> Response:
        """The circles of an image, best score first."""
        wanted = _uuid(image_id)
        circles = await view.rows("objects", image_ids=[wanted]) if wanted else []
        if not circles:
            await _image(image_id)
        found = [{"object_id": o["object_id"], "bbox": _bbox(o)} for o in circles]
        return json({"image_id": wanted, "count": len(found), "objects": found})

    @router.get("/images/{image_id}/objects/{object_id}")
    async def object_(image_id: str, object_id: str) -> Response:
        """One circle of an image."""
        image, wanted = _uuid(image_id), _uuid(object_id)
        for o in await view.rows("objects", image_ids=[image]) if image and wanted else ():
            if o["object_id"] == wanted:
                centroid = [o["x"], o["y"]]
                return json(
                    {"object_id": wanted, "bbox": _bbox(o), "centroid": centroid, "radius": o["radius"]}
                )
        raise Problem(404, f"image {image_id} has no object {object_id}")

    @router.get("/images")
    async def images(
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: str = "",
        include: Annotated[Literal["", "objects"], Query(description="objects: each image's circles")] = "",
    ) -> Response:
        """Images, newest first. `next` is the cursor of the page behind, null at the end."""
        before, before_id = _read_cursor(cursor)
        page = await view.rows("images", image_id=None, before=before, before_id=before_id, count=limit + 1)
        following = _cursor(page[limit - 1]) if len(page) > limit else None
        page = page[:limit]
        answer = [_summary(row) for row in page]
        if include == "objects" and page:
            circles = by_image(await view.rows("objects", image_ids=[row["image_id"] for row in page]))
            for image in answer:
                image["objects"] = [_object(o) for o in circles.get(image["image_id"], ())]
        return json({"images": answer, "count": len(answer), "next": following})

    @router.get("/images/{image_id}")
    async def image(image_id: str) -> Response:
        """One image: what was uploaded, whether it is pending, detected or failed and why, its circles."""
        row = await _image(image_id)
        if row is None:
            return json({"image_id": UUID(image_id), "status": "pending", "objects": []})
        circles = await view.rows("objects", image_ids=[row["image_id"]])
        return json(_summary(row) | {"objects": [_object(o) for o in circles]})

    @router.get("/images/{image_id}/content")
    async def content(image_id: str, request: Request) -> Response:
        """The picture, as it was uploaded."""
        wanted = _uuid(image_id)
        rows = await view.rows("stored_object", image_id=wanted) if wanted else []
        if not rows:
            await _image(image_id)
            raise Problem(404, f"image {image_id} is not in the view yet", {"Retry-After": "1"})
        row = rows[0]
        headers = {
            "ETag": f'"{row["sha256"]}"',
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        try:
            data = await store.get(row["uri"], size_bytes=row["size_bytes"])
        except ObjectUnreadable as error:
            raise Problem(410, f"the bytes of image {image_id} are gone or changed") from error
        return Response(data, headers=headers, media_type=row["content_type"])

    async def _image(image_id: str) -> dict[str, Any] | None:
        """The image's row; None when it was accepted and is not folded yet. Raises Problem 404."""
        wanted = _uuid(image_id)
        if wanted:
            rows = await view.rows("images", image_id=wanted, before=None, before_id=None, count=1)
            if rows:
                return rows[0]
            try:
                if await claims.accepted(wanted):
                    return None
            except CatalogUnavailable as error:
                raise Problem(503, str(error), {"Retry-After": "2"}) from error
        raise Problem(404, f"there is no image {image_id}")

    async def _detection(image_id: UUID) -> dict[str, Any]:
        detections = [
            {
                "object_id": o["object_id"],
                "bbox": _bbox(o),
                "centroid": {"x": o["x"], "y": o["y"]},
                "radius": o["radius"],
            }
            for o in await view.rows("objects", image_ids=[image_id])
        ]
        return {"detections": detections, "count": len(detections)}

    return router


def _summary(row: dict[str, Any]) -> dict[str, Any]:
    detection, failure = row["d"], row["f"]
    answer = {
        name: row[name]
        for name in (
            "image_id", "source_id", "content_type", "width", "height", "size_bytes", "sha256",
            "captured_at", "uploaded_at", "attributes",
        )
    }  # fmt: skip
    answer["status"] = "detected" if detection else "failed" if failure else "pending"
    answer["detection"] = detection and dict(
        zip(("model_name", "model_version", "count", "latency_ms", "detected_at"), detection, strict=True)
    )
    answer["failure"] = None
    if failure and not detection:
        answer["failure"] = dict(zip(("dead_letter_id", "stage", "error", "reason"), failure, strict=True))
    return answer


def _object(o: dict[str, Any]) -> dict[str, Any]:
    return {
        "object_id": o["object_id"],
        "bbox": _bbox(o),
        "centroid": [o["x"], o["y"]],
        "radius": o["radius"],
        "score": o["score"],
    }


def _bbox(o: dict[str, Any]) -> list[float]:
    return [o["x_min"], o["y_min"], o["x_max"], o["y_max"]]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _captured_at(form: FormData) -> datetime | None:
    text = form.get("captured_at")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise Problem(
            422, f"captured_at must be an ISO 8601 time like 2026-01-31T12:00:00Z, not {text!r}"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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


def _cursor(row: dict[str, Any]) -> str:
    place = f"{row['uploaded_at'].isoformat()} {row['image_id']}"
    return base64.urlsafe_b64encode(place.encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime | None, UUID | None]:
    if not cursor:
        return None, None
    try:
        moment, image_id = base64.urlsafe_b64decode(cursor).decode().split(" ")
        return datetime.fromisoformat(moment), UUID(image_id)
    except (ValueError, binascii.Error) as error:
        raise Problem(400, "cursor is none that this API gave; take it from `next`") from error
