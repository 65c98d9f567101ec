"""Routes that read images and their circles; those of objects keep contract A+B to the letter."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response

from query_api.errors import Problem
from query_api.filters import Listing
from query_api.view import View, by_image
from streams.errors import CatalogUnavailable, ObjectUnreadable
from streams.ingest.claims import Claims
from streams.store import Store


def json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; bytes go out as they are, without FastAPI's own encoding."""
    return Response(orjson.dumps(body), status, headers, "application/json")


def routes(claims: Claims, store: Store, view: View) -> APIRouter:
    """The router over its parts."""
    router = APIRouter(tags=["images"])

    @router.get("/images/{image_id}/objects")
    async def objects(image_id: str) -> Response:
        """The circles of an image, best score first."""
        wanted = _uuid(image_id)
        circles = await view.rows("objects", image_ids=[wanted]) if wanted else []
        if not circles:
            await _image(image_id)
        found = [{"object_id": o["object_id"], "bbox": bbox(o)} for o in circles]
        return json({"image_id": wanted, "count": len(found), "objects": found})

    @router.get("/images/{image_id}/objects/{object_id}")
    async def object_(image_id: str, object_id: str) -> Response:
        """One circle of an image."""
        image, wanted = _uuid(image_id), _uuid(object_id)
        for o in await view.rows("objects", image_ids=[image]) if image and wanted else ():
            if o["object_id"] == wanted:
                centroid = [o["x"], o["y"]]
                return json(
                    {"object_id": wanted, "bbox": bbox(o), "centroid": centroid, "radius": o["radius"]}
                )
        raise Problem(404, f"image {image_id} has no object {object_id}")

    @router.get("/images")
    async def images(wanted: Annotated[Listing, Query()]) -> Response:
        """Images, newest first. `next` is the cursor of the page behind, null at the end."""
        conditions, values = wanted.conditions()
        before, before_id = _read_cursor(wanted.cursor)
        if before:
            conditions.append("images_before")
            values |= {"before": before, "before_id": before_id}
        page = await view.rows("images", *conditions, count=wanted.limit + 1, **values)
        following = _cursor(page[wanted.limit - 1]) if len(page) > wanted.limit else None
        page = page[: wanted.limit]
        answer = [_summary(row) for row in page]
        if wanted.include == "objects" and page:
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
            rows = await view.rows("images", "images_image_id", image_id=wanted, count=1)
            if rows:
                return rows[0]
            try:
                if await claims.accepted(wanted):
                    return None
            except CatalogUnavailable as error:
                raise Problem(503, str(error), {"Retry-After": "2"}) from error
        raise Problem(404, f"there is no image {image_id}")

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
    answer["attributes"] = orjson.loads(row["attributes"])
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
        "bbox": bbox(o),
        "centroid": [o["x"], o["y"]],
        "radius": o["radius"],
        "score": o["score"],
    }


def bbox(o: dict[str, Any]) -> list[float]:
    return [o["x_min"], o["y_min"], o["x_max"], o["y_max"]]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


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
