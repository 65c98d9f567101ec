"""Routes of one image: its row and its circles; those of objects keep contract A+B to the letter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute

from query_api.access.caller import calling
from query_api.answers import JSON, known, read_from
from query_api.errors import Problem
from query_api.filters import ModelName
from query_api.listing import model_of, named_object, objects_of, summary
from query_api.lookup import Lookup, as_uuid
from query_api.versions import MEANING, Looked, Which, circles_of, which
from query_api.view.reading import View

ModelAsked = Annotated[ModelName | None, Query(description=MEANING, examples=["circles:2"])]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def routes(lookup: Lookup, view: View, moment: Callable[..., Any]) -> APIRouter:
    """The router over its parts. moment: the dependency that gives the snapshot to read, None for now."""
    router = APIRouter(tags=["images"])

    async def objects(
        request: Request,
        image_id: str,
        model: ModelAsked = None,
        at: int | None = Depends(moment),
    ) -> Response:
        """The circles of an image, best score first; with `model=` those that another version found."""
        wanted, headers = as_uuid(image_id), read_from(view.seen, calling(request), at)
        if not (asked := named(model)).is_served:
            its = await lookup.looked(request, image_id, asked, at)
            body = {"image_id": wanted, "count": len(its.objects), "objects": boxes(its)}
            return unless_known(request, body | {"detections": its.detections}, headers)
        found = await lookup.circles(request, wanted, at)
        if not found:
            await lookup.image(request, image_id, at)
        listed = [{"object_id": text_of(o.object_id), "bbox": o[5:]} for o in found]
        body = {"image_id": wanted, "count": len(listed), "objects": listed}
        return unless_known(request, body, headers)

    async def look_up(request: Request) -> Response:
        return await objects(request, request.path_params["image_id"], None, None)

    router.add_api_route("/images/{image_id}/objects", objects, route_class_override=plainly(look_up))

    @router.get("/images/{image_id}/objects/{object_id}")
    async def object_(
        request: Request,
        image_id: str,
        object_id: str,
        model: ModelAsked = None,
        at: int | None = Depends(moment),
    ) -> Response:
        """One circle of an image; with `model=` also one that is not served."""
        image, wanted, headers = (
            as_uuid(image_id),
            as_uuid(object_id),
            read_from(view.seen, calling(request), at),
        )
        asked = named(model)
        if asked.is_served:
            found = await lookup.circles(request, image, at) if wanted else ()
        else:
            found = circles_of(await lookup.looked(request, image_id, asked, at))
        for o in found:
            if wanted and o.object_id == wanted.bytes:
                body = {"object_id": wanted, "bbox": o[5:], "centroid": o[1:3], "radius": o.radius}
                return unless_known(request, body, headers)
        raise Problem(404, f"image {image_id} has no object {object_id}")

    @router.get("/images/{image_id}")
    async def image(
        request: Request,
        image_id: str,
        model: ModelAsked = None,
        at: int | None = Depends(moment),
    ) -> Response:
        """One image: what was uploaded, whether it is pending, detected or failed and why, its circles."""
        headers = read_from(view.seen, calling(request), at)
        asked = named(model)
        row = await lookup.image(request, image_id, at)
        if row is None:
            body = {"image_id": UUID(image_id), "status": "pending", "objects": []}
        elif not asked.is_served:
            its = await lookup.looked(request, image_id, asked, at)
            body = summary(row) | {"objects": [named_object(o) for o in its.objects]}
            if asked.every:
                body["detections"] = its.detections
            else:
                body |= {"status": "detected", "detection": its.detections[0], "failure": None}
        else:
            served = model_of(row)
            found = await lookup.circles(request, row["image_id"], at, served) if served else ()
            body = summary(row) | {"objects": objects_of(found)}
        return unless_known(request, body, headers)

    return router


def named(model: str | None) -> Which:
    """Raises Problem 422."""
    try:
        return which(model)
    except ValueError as error:
        raise Problem(422, f"model: {error}") from error


def boxes(its: Looked) -> list[dict[str, Any]]:
    """Their circles, each with the version that found it, as a list of an image's objects has them."""
    names = ("object_id", "bbox", "model_name", "model_version")
    return [{name: o[name] for name in names} for o in map(named_object, its.objects)]


def plainly(handler: Handler) -> type[APIRoute]:
    """A kind of route that is asked most: without a query string it is this handler's, with one FastAPI's.

    Parameters that are not there need not be read, which takes FastAPI as long as all the rest.
    """

    class Plainly(APIRoute):
        def get_route_handler(self) -> Handler:
            with_parameters = super().get_route_handler()

            async def answer(request: Request) -> Response:
                handle = with_parameters if request.scope["query_string"] else handler
                return await handle(request)

            return answer

    return Plainly


def text_of(object_id: bytes) -> str:
    """An id as text, in a third of what the module uuid takes."""
    text = object_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def unless_known(request: Request, body: Any, headers: dict[str, str]) -> Response:
    """JSON, or 304 where the client has it: by what it says, not by when it was read."""
    data = orjson.dumps(body)
    headers["ETag"] = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers["Cache-Control"] = "no-cache"
    if known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(data, 200, headers, JSON)
