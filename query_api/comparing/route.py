"""`/comparisons`: what `circles compare` says, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from query_api import apart, patterns
from query_api.access.caller import Caller, calling
from query_api.answers import FORMATS, JSON, as_file, fields_of, json, read_from, wanted
from query_api.comparing.asked import Change, Compared, Listed
from query_api.comparing.asking import Comparisons
from query_api.errors import Problem
from query_api.filters import Moment, Pixels, Share, Text, without_nul
from query_api.parameters import only_known
from query_api.view.reading import View
from streams.settings import Settings

HTML = "text/html"
A_VERSION = "of the model, NAME:VERSION, or with a least score NAME:VERSION+min_score=S"
FILTERS = ("source", "project", "since", "until")


def a_version(text: str) -> str:
    """Raises ValueError for what can name none: no process is needed to say so."""
    name, _, version = text.partition(":")
    if not (name and version):
        raise ValueError(f"{text!r} is no NAME:VERSION, as circles:2 is")
    return f"{name}:{version.replace(' ', '+')}"  # a plus that was not written as %2B comes as a blank


Version = Annotated[
    str,
    Field(max_length=200, json_schema_extra={"pattern": patterns.VERSION}),
    AfterValidator(without_nul),
    AfterValidator(a_version),
]


class Comparing(BaseModel):
    """What comparisons have in common. The filters are of the image's upload; all have to hold."""

    a: Version = Field(description=f"the version to compare with, {A_VERSION}", examples=["circles:1"])
    b: Version = Field(description=f"the version that is compared, {A_VERSION}", examples=["circles:2"])
    source: Text | None = Field(None, description="camera or service; empty: images that named none")
    project: Text | None = Field(None, description="project")
    since: Moment | None = Field(None, description="uploaded then or later, ISO 8601")
    until: Moment | None = Field(None, description="uploaded before")
    min_score_a: Share | None = Field(None, description="count the circles of a from this score on")
    min_score_b: Share | None = Field(None, description="count those of b from this score on")
    min_iou: float = Field(0.5, gt=0, le=1, description="circles that overlap so much may be one")
    iou: Literal["circle", "box"] = Field("circle", description="what overlaps: circles, or clipped boxes")
    moved_px: Pixels = Field(1.0, description="a centre or radius that differs by more has moved")

    def told(self, settings: Settings, caller: Caller, at: tuple[str | None, int | None]) -> dict[str, Any]:
        """What the process is told. Raises Problem 404 for another project than the caller's."""
        if caller.project is not None and self.project not in (None, caller.project):
            raise Problem(404, f"project: you see {caller.project} alone")
        given = self.model_dump(exclude_none=True)
        filters = {name: given.pop(name) for name in FILTERS if name in given}
        if caller.project is not None:
            filters["project"] = caller.project
        return {**given, "filters": filters, "settings": settings, "project": caller.project, "at": at}


class Comparison(Comparing):
    """The parameters of `GET /comparisons`."""

    worst: int = Field(10, ge=0, le=100, description="how many images to name, and on the page to show")


class Images(Comparing):
    """The parameters of `GET /comparisons/images`."""

    change: Change | None = Field(None, description="only those with it; its most first")
    limit: int = Field(100, ge=1, le=10_000, description="most images in the answer")


def routes(settings: Settings, view: View, comparisons: Comparisons, moment: Callable[..., Any]) -> APIRouter:
    """The router over its parts. moment: the dependency that gives the snapshot to read."""
    router = APIRouter(tags=["re-evaluation"], dependencies=[Depends(only_known)])

    @router.get("/comparisons")
    async def compare(
        request: Request, asked: Annotated[Comparison, Query()], at: int | None = Depends(moment)
    ) -> Response:
        """How version b differs from a on the images that both have looked at, and which is right.

        As JSON, what `circles compare --json` says, or as a page with pictures of the worst images. `?as_of=`
        its snapshot has the images behind its numbers, whatever comes meanwhile.
        """
        caller, seen = calling(request), view.seen
        kind = wanted(request.headers.get("accept"), (HTML, JSON))
        told = Compared(**asked.told(settings, caller, (view.generation, at)), page=kind == HTML)
        answer = await comparisons.answer(told, lambda: apart.gone(request))
        return Response(answer, 200, {**read_from(seen, caller, at), "Vary": "Accept"}, kind)

    @router.get("/comparisons/images")
    async def images(
        request: Request, asked: Annotated[Images, Query()], at: int | None = Depends(moment)
    ) -> Response:
        """The images of a comparison, or those with a change, the worst first; `total` counts them all."""
        caller, seen = calling(request), view.seen
        kind = wanted(request.headers.get("accept"), FORMATS)
        told = Listed(**asked.told(settings, caller, (view.generation, at)))
        answer = await comparisons.answer(told, lambda: apart.gone(request))
        headers = {**read_from(seen, caller, at), "Vary": "Accept"}
        return await asyncio.to_thread(listed, answer, kind, fields_of(seen, caller, at), headers)

    return router


def listed(answer: bytes, kind: str, fields: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    """The rows of the process as they are asked for. fields: of JSON, besides."""
    table = pa.ipc.open_stream(answer).read_all()
    total = int(table.schema.metadata[b"total"])
    if kind != JSON:
        return as_file(table.replace_schema_metadata(), table.column_names, kind, headers)
    body = {"images": table.to_pylist(), "count": len(table), "total": total, **fields}
    return json(body, 200, headers)
