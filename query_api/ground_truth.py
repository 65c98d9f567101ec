"""Routes of an image's ground truth: what people say which circles are in it, and each version of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated, Any, Literal
from uuid import UUID

import uuid_utils.compat as uuids
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ConfigDict, Field, ValidationError

from query_api.access.caller import calling
from query_api.access.seal import Seal
from query_api.answers import json, read_from
from query_api.errors import Problem
from query_api.images import unless_known
from query_api.incoming import traceparent
from query_api.limits import Pace, read_json
from query_api.lookup import Lookup
from query_api.moments import HEADER, written
from query_api.parameters import only_known
from query_api.turns import Turns
from query_api.view.reading import View
from streams.ground_truth import (
    MODEL,
    MOST_CIRCLES,
    MOST_NAME,
    NAME,
    InvalidAnnotation,
    Model,
    Name,
    Shapes,
    annotation,
    drawn,
    wrong_entries,
)
from streams.ingest.log import LogWriter
from streams.reevaluation import ImageAnnotated
from streams.settings import Settings
from streams.topics import ANNOTATED

MOST_BYTES = 1_000_000
"""Of a body: so many circles with all the digits that a number can have."""
MOST_VERSIONS, ENOUGH_CIRCLES = 100, 20_000
"""In one answer: the newest versions, and no further ones behind so many circles."""
_NUMBER = {"type": "number"}
_CIRCLE = {
    "type": "object",
    "required": ["x", "y", "radius"],
    "additionalProperties": False,
    "properties": {"x": _NUMBER, "y": _NUMBER, "radius": {"type": "number", "exclusiveMinimum": 0}},
}
_NAMED = {
    "annotator": {"type": "string", "pattern": NAME, "maxLength": MOST_NAME, "description": "who says so"},
    "from": {
        "description": "the prediction that was corrected, as `name:version`; null: none",
        "anyOf": [
            {"type": "string", "pattern": MODEL, "maxLength": MOST_NAME}, {"type": "null"},
        ],
    },
}  # fmt: skip
_BOX = {"type": "array", "minItems": 4, "maxItems": 4, "items": _NUMBER}


def _drawn(name: str, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["annotator", name],
        "additionalProperties": False,
        "properties": {**_NAMED, name: {"type": "array", "maxItems": MOST_CIRCLES, "items": item}},
    }


BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_drawn("circles", _CIRCLE), _drawn("boxes", _BOX)]},
                "example": {
                    "annotator": "anna",
                    "from": "circles:2",
                    "circles": [{"x": 30, "y": 30.5, "radius": 20}],
                },
            }
        },
    }
}


class Drawn(Shapes):
    """The body."""

    model_config = ConfigDict(extra="forbid")
    annotator: Name
    from_: Model | None = Field(None, alias="from")


def routes(
    settings: Settings,
    lookup: Lookup,
    view: View,
    log: LogWriter,
    seal: Seal,
    turns: Turns,
    passed: Callable[..., Any],
    moment: Callable[..., Any],
) -> APIRouter:
    """The router over its parts.

    passed: the dependency that waits for what was sent; moment: the one that gives the snapshot to read.
    """
    router = APIRouter(tags=["images"], dependencies=[Depends(only_known)])
    pace = Pace(settings.upload_timeout_s, settings.upload_min_rate)

    @router.put("/images/{image_id}/annotations", status_code=201, openapi_extra=BODY)
    async def annotate(request: Request, image_id: str, _: None = Depends(passed)) -> Response:
        """Say which circles are in an image: all of them, an empty list where there are none.

        It is a new version, which takes the place of the one before. It is on the log once this is answered;
        a read with `?after=` the `Circles-Position` of the answer sees it. `?after=` that of an upload
        annotates an image that has only just come.
        """
        with turns.place():
            body = _body(await read_json(request, pace, MOST_BYTES))
        row = await lookup.folded(request, image_id)
        record = await asyncio.to_thread(_record, body, row)  # of thousands of circles it takes a while
        sent = await log.send(ANNOTATED, record, traceparent(request))
        answer = {
            "annotation_id": record.annotation_id, "image_id": record.image_id,
            "annotated_at": record.annotated_at, "count": len(record.circles),
        }  # fmt: skip
        position = seal.close(written(sent.partition, sent.offset, ANNOTATED), calling(request))
        return json(answer, 201, {HEADER: position})

    @router.get("/images/{image_id}/annotations")
    async def annotations(
        request: Request,
        image_id: str,
        versions: Annotated[
            Literal["newest", "all"],
            Query(
                description="`all` lists the versions in `versions`, newest first:"
                f" {MOST_VERSIONS}, or as many as have {ENOUGH_CIRCLES} circles"
            ),
        ] = "newest",
        at: int | None = Depends(moment),
    ) -> Response:
        """What people say which circles are in an image: the newest version, null where nobody said so."""
        headers = read_from(view.seen, calling(request), at)
        row = await lookup.image(request, image_id, at)
        wanted = row["image_id"] if row else UUID(image_id)
        most = MOST_VERSIONS if versions == "all" else 1
        rows = await view.lake_rows_at("annotations", at, image=wanted, most=most, enough=ENOUGH_CIRCLES)
        found = list(_versions(rows))
        body: dict[str, Any] = {"image_id": wanted, "annotation": found[0] if found else None}
        return unless_known(request, body | ({"versions": found} if versions == "all" else {}), headers)

    return router


def _body(sent: Any) -> Drawn:
    """No number may be a text that looks like one. Raises Problem 422."""
    try:
        return Drawn.model_validate(sent, strict=True)
    except ValidationError as error:
        raise Problem(422, "; ".join(wrong_entries(error)[:10])) from error


def _record(body: Drawn, row: Mapping[str, Any]) -> ImageAnnotated:
    """A new version for the image of that row. Raises Problem 422."""
    try:
        circles = drawn(body, row["width"], row["height"])
    except InvalidAnnotation as error:
        raise Problem(422, str(error)) from error
    return annotation(
        uuids.uuid7(), row["image_id"], row["project_id"], body.annotator, body.from_, datetime.now(UTC),
        body.drawn_as, circles,
    )  # fmt: skip


def _versions(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Of rows with a circle each, or with none, the circles of a version behind each other."""
    for annotation_id, of_version in groupby(rows, lambda row: row["annotation_id"]):
        circles = list(of_version)
        first = circles[0]
        yield {
            "annotation_id": annotation_id,
            "annotator": first["annotator"],
            "annotated_at": first["annotated_at"],
            "from": first["model_name"] and f"{first['model_name']}:{first['model_version']}",
            "drawn_as": first["drawn_as"],
            "count": first["circle_count"],
            "circles": [
                {
                    "object_id": c["object_id"],
                    "bbox": [c["x_min"], c["y_min"], c["x_max"], c["y_max"]],
                    "centroid": [c["x"], c["y"]],
                    "radius": c["radius"],
                }
                for c in circles
                if c["object_id"]
            ],
        }
