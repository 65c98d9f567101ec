"""Routes of one image's pixels: as they were uploaded, smaller, and with its circles drawn over them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from detector.errors import InvalidImage
from query_api import drawing
from query_api.answers import known, wanted
from query_api.errors import Problem
from query_api.images import ModelAsked, named
from query_api.lookup import Lookup
from query_api.parameters import only_known
from query_api.versions import circles_of
from query_api.view.newest import Circle
from streams.errors import ObjectUnreadable
from streams.settings import Settings
from streams.store import Store

FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
WHO = "Authorization, X-API-Key"
WAITING = 64
"""Most who wait for their picture to be drawn; one more gets 503."""
Size = Annotated[int, Query(ge=32, le=1024, description="longest side in pixels; it is never enlarged")]
Sized = Annotated[
    int | None, Query(ge=32, le=4096, description="longest side in pixels; without it as it was uploaded")
]


def routes(settings: Settings, store: Store, lookup: Lookup, moment: Callable[..., Any]) -> APIRouter:
    """The router over its parts. moment: the dependency that gives the snapshot to read, None for now."""
    router = APIRouter(tags=["images"], dependencies=[Depends(only_known)])
    turns = asyncio.Semaphore(settings.pictures_at_once)
    there = 0

    @router.get("/images/{image_id}/content")
    async def content(request: Request, image_id: str, at: int | None = Depends(moment)) -> Response:
        """The picture, as it was uploaded."""
        row = await lookup.folded(request, image_id, at)
        headers = {"ETag": f'"{row["sha256"]}"', "Cache-Control": FOR_EVER, "Vary": WHO}
        if known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(await bytes_of(row), headers=headers, media_type=row["content_type"])

    @router.get("/images/{image_id}/thumbnail")
    async def thumbnail(
        request: Request, image_id: str, size: Size = 256, at: int | None = Depends(moment)
    ) -> Response:
        """The picture, small, as JPEG or, where Accept prefers it, WebP."""
        return await drawn(request, await lookup.folded(request, image_id, at), size, (), FOR_EVER)

    @router.get("/images/{image_id}/overlay")
    async def overlay(
        request: Request,
        image_id: str,
        size: Sized = None,
        model: ModelAsked = None,
        at: int | None = Depends(moment),
    ) -> Response:
        """The picture with its circles, as JPEG or, where Accept prefers it, WebP."""
        asked = named(model)
        row = await lookup.folded(request, image_id, at)
        if asked.is_served:
            circles = await lookup.circles(request, row["image_id"], at)
        else:
            circles = circles_of(await lookup.looked(request, image_id, asked, at))
        return await drawn(request, row, size, circles, ASK_AGAIN)

    async def drawn(
        request: Request, row: dict[str, Any], size: int | None, circles: Sequence[Circle], cached: str
    ) -> Response:
        kind = wanted(request.headers.get("accept"), tuple(drawing.FORMATS))
        made_of = repr((row["sha256"], size, kind, [tuple(circle) for circle in circles])).encode()
        etag = f'"{hashlib.blake2b(made_of, digest_size=16).hexdigest()}"'
        headers = {"ETag": etag, "Cache-Control": cached, "Vary": f"Accept, {WHO}"}
        if known(request, etag):
            return Response(status_code=304, headers=headers)
        async with turn():
            data = await bytes_of(row)
            try:
                answer = await asyncio.to_thread(
                    drawing.draw, data, settings.max_image_pixels, size, circles, kind
                )
            except InvalidImage as error:
                raise Problem(422, f"this picture cannot be drawn: {error}") from error
        return Response(answer, headers=headers, media_type=kind)

    async def bytes_of(row: dict[str, Any]) -> bytes:
        try:
            return await store.get(row["uri"], size_bytes=row["size_bytes"], sha256=row["sha256"])
        except ObjectUnreadable as error:
            raise Problem(410, f"the bytes of image {row['image_id']} are gone or changed") from error

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        nonlocal there
        if there >= settings.pictures_at_once + WAITING:
            raise Problem(503, "many pictures are being drawn; try again", {"Retry-After": "1"})
        there += 1
        try:
            async with turns:
                yield
        finally:
            there -= 1

    return router
