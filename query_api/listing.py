"""Lists of images and of circles, page by page, in JSON or as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from query_api.access.caller import calling
from query_api.answers import JSON, as_file, fields_of, json, next_page, read_from, wanted
from query_api.columns import BBOX, CENTROID, CIRCLE_FIELDS, DETECTION, FAILURE, IMAGE, IMAGE_FIELDS
from query_api.errors import Problem
from query_api.filters import Circles, Images
from query_api.parameters import only_known
from query_api.sorting import CIRCLES, IMAGES, Cursors, Order
from query_api.versions import Looked, looked
from query_api.view.newest import Circle, Model
from query_api.view.questions import Question
from query_api.view.reading import View


def routes(view: View, cursors: Cursors, moment: Callable[..., Any]) -> APIRouter:
    """The router over its parts. moment: the dependency that gives the snapshot to read, None for now."""
    router = APIRouter(dependencies=[Depends(only_known)])

    @router.get("/images", tags=["images"])
    async def images(
        request: Request, asked: Annotated[Images, Query()], at: int | None = Depends(moment)
    ) -> Response:
        """Images, newest first. `next` is the cursor of the page behind, null at the end."""
        return await page(request, asked, asked.asked(cursors, scope(request)), IMAGES[asked.sort], at)

    @router.get("/objects", tags=["objects"])
    async def objects(
        request: Request, asked: Annotated[Circles, Query()], at: int | None = Depends(moment)
    ) -> Response:
        """Circles of the served detections, newest image first. `next` is the cursor of the page behind."""
        return await page(request, asked, asked.asked(cursors, scope(request)), CIRCLES[asked.sort], at)

    async def page(
        request: Request, asked: Images | Circles, question: Question, order: Order, at: int | None
    ) -> Response:
        kind = wanted(request.headers.get("accept"))
        name, fields, written = (
            ("images", IMAGE_FIELDS, summary)
            if isinstance(asked, Images)
            else ("objects", CIRCLE_FIELDS, circle)
        )
        named = _named(asked.fields, fields)
        caller = calling(request)
        question = question.within(caller.project)
        headers = read_from(seen := view.seen, caller, at)
        of_all = isinstance(asked, Images) and asked.which.every
        if of_all and kind != JSON:
            raise Problem(406, "images with all their detections are no table: ask for JSON, or for /objects")
        if isinstance(asked, Images) and asked.include and kind != JSON:
            raise Problem(406, "images with their circles are no table: ask for JSON, or for /objects")
        if kind != JSON:
            table = await view.table(question, at)
            last = table.slice(asked.limit - 1, 1).to_pylist() if table.num_rows > asked.limit else []
            following = cursors.after(last[0], order, scope(request)) if last else None
            columns = list(dict.fromkeys(column for field in named for column in fields[field]))
            return as_file(
                table.slice(0, asked.limit), columns, kind, headers | next_page(request, following)
            )
        rows = await view.rows(question, at)
        following = (
            cursors.after(rows[asked.limit - 1], order, scope(request)) if len(rows) > asked.limit else None
        )
        answer = [written(row) for row in rows[: asked.limit]]
        if isinstance(asked, Images) and (asked.include == "objects" or of_all):
            more = await add_found(answer, rows, asked, caller.project, at)
            named = [*named, *more]
        if asked.fields:
            answer = [{field: row[field] for field in named} for row in answer]
        body = {name: answer, "count": len(answer), "next": following, **fields_of(seen, caller, at)}
        return json(body, 200, headers | next_page(request, following))

    async def add_found(
        images: Sequence[dict[str, Any]],
        rows: Sequence[Mapping[str, Any]],
        asked: Images,
        project: str | None,
        at: int | None,
    ) -> list[str]:
        """Add to images the circles and detections that are asked for; the names of what was added."""
        if asked.which.is_served:
            wanted = {row["image_id"]: model for row in rows[: len(images)] if (model := model_of(row))}
            found = await view.circles(wanted, project, at)
            for image in images:
                image["objects"] = objects_of(found.get(image["image_id"], ()))
            return ["objects"]
        ids = [image["image_id"] for image in images if image["detection"] or asked.which.every]
        seen = await looked(view, ids, asked.which, project, at)
        parts = {"detections": asked.which.every, "objects": asked.include == "objects"}
        for image in images:
            its = seen.get(image["image_id"], Looked([], []))
            image |= {"detections": its.detections} if asked.which.every else {}
            image |= {"objects": [named_object(o) for o in its.objects]} if asked.include else {}
        return [name for name, is_there in parts.items() if is_there]

    return router


def scope(request: Request) -> str:
    """What a cursor is good for: a caller of one project can use those of that project alone."""
    return calling(request).project or "*"


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """An image as JSON has it, of a row of `images`."""
    answer = {name: row[name] for name in IMAGE}
    answer["attributes"] = orjson.loads(row["attributes"])
    answer["detection"] = answer["failure"] = None
    if row["status"] == "detected":
        answer["detection"] = {"count" if name == "circle_count" else name: row[name] for name in DETECTION}
    elif row["status"] == "failed":
        answer["failure"] = {name: row[name] for name in FAILURE}
    return answer


def model_of(row: Mapping[str, Any]) -> Model | None:
    """Whose detection a row of `images` has; None where it has none."""
    return (row["model_name"], row["model_version"]) if row["status"] == "detected" else None


def circle(row: Mapping[str, Any]) -> dict[str, Any]:
    """A circle as JSON has it, of a row of `circles`."""
    answer = {name: row[name] for name in CIRCLE_FIELDS if name in row}
    return answer | {"bbox": [row[name] for name in BBOX], "centroid": [row[name] for name in CENTROID]}


def named_object(row: Mapping[str, Any]) -> dict[str, Any]:
    """A circle as JSON has it within its image, with the version that found it; of a row of `circles`."""
    names = ("object_id", "bbox", "centroid", "radius", "score", "model_name", "model_version")
    return {name: value for name, value in circle(row).items() if name in names}


def objects_of(circles: Sequence[Circle]) -> list[dict[str, Any]]:
    """The circles of an image as JSON has them within it."""
    return [
        {
            "object_id": UUID(bytes=o.object_id),
            "bbox": o[5:],
            "centroid": o[1:3],
            "radius": o.radius,
            "score": o.score,
        }
        for o in circles
    ]


def _named(asked: str, fields: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of fields with commas; all for none. Raises Problem 422."""
    names = [name.strip() for name in asked.split(",")] if asked else list(fields)
    if wrong := [name for name in names if name not in fields]:
        raise Problem(
            422, f"fields: there is no {', '.join(map(repr, wrong))}; there are {', '.join(fields)}"
        )
    return names
