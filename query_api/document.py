"""The OpenAPI document, completed: each operation's id, answers, and every problem that it can end with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from query_api import drawing, examples, schemas, schemas_of_comparisons, schemas_of_replays
from query_api.answers import ARROW, JSONL, PARQUET, READ_FROM, WRITERS
from query_api.moments import HEADER

PROBLEM = "application/problem+json"
REFS = "#/components/schemas/{model}"
LIST, ONE, MOMENT = (400, 406, 410, 422, 503, 504), (400, 404, 410, 422, 503, 504), (400, 410, 503, 504)
COMPARED = (400, 404, 406, 410, 422, 503, 504)
PICTURE, FILES, EVENTS = tuple(drawing.FORMATS), tuple(WRITERS), "text/event-stream"


@dataclass(frozen=True, slots=True)
class Operation:
    """What FastAPI does not know of one. also: its media types beside JSON, or for no model instead of it.

    further: other statuses of the same answer; 304 has none.
    """

    name: str
    summary: str
    model: type[BaseModel] | None
    problems: tuple[int, ...] = ()
    also: tuple[str, ...] = ()
    further: tuple[int, ...] = ()


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("/images/", "post"): Operation(
        "upload_image", "Take one image in", schemas.Uploaded, (400, 408, 409, 413, 415, 422, 429, 503),
        further=(202,),
    ),
    ("/images", "post"): Operation(
        "upload_image_without_slash", "The same as POST /images/", schemas.Uploaded,
        (400, 408, 409, 413, 415, 422, 429, 503), further=(202,),
    ),
    ("/images", "get"): Operation("list_images", "Images, page by page", schemas.Images, LIST, FILES),
    ("/objects", "get"): Operation(
        "list_objects", "Circles, page by page", schemas.Circles, LIST, FILES
    ),
    ("/statistics/images", "get"): Operation(
        "count_images", "Images by what became of them", schemas.Statistics, LIST, FILES
    ),
    ("/statistics/latency", "get"): Operation(
        "get_latencies", "How long detections took", schemas.Statistics, LIST, FILES
    ),
    ("/statistics/radius", "get"): Operation(
        "count_radii", "Circles by radius", schemas.Statistics, LIST, FILES
    ),
    ("/statistics/score", "get"): Operation(
        "count_scores", "Circles by score", schemas.Statistics, LIST, FILES
    ),
    ("/images/objects", "post"): Operation(
        "get_objects_of_images", "The circles of many images", schemas.Batch, (*MOMENT, 408, 413, 422)
    ),
    ("/sql", "post"): Operation(
        "query_by_sql", "The rows of a SELECT", schemas.Statistics,
        (400, 404, 406, 408, 410, 413, 422, 429, 503, 504), (ARROW, JSONL),
    ),
    ("/images/{image_id}/objects", "get"): Operation(
        "list_objects_of_image", "The circles of an image", schemas.ObjectsOfImage, ONE, further=(304,)
    ),
    ("/images/{image_id}/objects/{object_id}", "get"): Operation(
        "get_object", "One circle of an image", schemas.Circle, ONE, further=(304,)
    ),
    ("/images/{image_id}", "get"): Operation("get_image", "One image", schemas.Image, ONE, further=(304,)),
    ("/images/{image_id}/content", "get"): Operation(
        "get_content", "The picture", None, ONE, ("image/jpeg", "image/png", "image/webp"), (304,)
    ),
    ("/images/{image_id}/thumbnail", "get"): Operation(
        "get_thumbnail", "The picture, small", None, (*ONE, 406), PICTURE, (304,)
    ),
    ("/images/{image_id}/overlay", "get"): Operation(
        "get_overlay", "The picture with its circles", None, (*ONE, 406), PICTURE, (304,)
    ),
    ("/images/{image_id}/annotations", "put"): Operation(
        "annotate_image", "Say which circles are in an image", schemas.Recorded,
        (400, 404, 408, 413, 422, 429, 503, 504),
    ),
    ("/images/{image_id}/annotations", "get"): Operation(
        "list_annotations", "What people say which circles are in an image", schemas.Annotations, ONE,
        further=(304,),
    ),
    ("/changes", "get"): Operation(
        "follow_changes", "What becomes of images, as it happens", None, (400, 410, 422, 503), (EVENTS,)
    ),
    ("/comparisons", "get"): Operation(
        "compare_versions", "What another version of the model changes", schemas_of_comparisons.Comparison,
        COMPARED, ("text/html",),
    ),
    ("/comparisons/images", "get"): Operation(
        "list_compared_images", "The images that it changes", schemas_of_comparisons.ComparedImages,
        COMPARED, FILES,
    ),
    ("/replays", "get"): Operation("list_replays", "All replays", schemas_of_replays.Replays, (503,)),
    ("/replays", "post"): Operation(
        "start_replay", "Images again, by another version", schemas_of_replays.StartedReplay,
        (400, 408, 409, 413, 422, 503),
    ),
    ("/replays/{replay_id}", "get"): Operation(
        "get_replay", "One replay, and how far it is", schemas_of_replays.ReplayInFull, (404, 503)
    ),
    ("/replays/{replay_id}/progress", "get"): Operation(
        "follow_replay", "A replay's progress, as it happens", None, (404, 503), (EVENTS,)
    ),
    **{
        (f"/replays/{{replay_id}}/{change}", "post"): Operation(
            f"{change}_replay", f"{change.capitalize()} a replay", schemas_of_replays.Replay, (404, 409, 503)
        )
        for change in ("pause", "resume", "cancel")
    },
    ("/promotions", "get"): Operation(
        "list_promotions", "The current version, and those before it", schemas_of_replays.Promotions, (503,)
    ),
    ("/promotions", "post"): Operation(
        "promote", "Make a version the current one", schemas_of_replays.Promoted,
        (400, 408, 409, 413, 422, 503, 504),
    ),
    ("/health", "get"): Operation("get_health", "Whether the API serves", schemas.Said),
    ("/health/live", "get"): Operation("get_live", "That the process answers", schemas.Said),
    ("/health/ready", "get"): Operation(
        "get_ready", "What of its dependencies answers", schemas.Said, further=(503,)
    ),
    ("/config", "get"): Operation("get_config", "The settings in force", schemas.Said),
    ("/status", "get"): Operation("get_status", "How far each stage is", schemas.Said, (503,)),
    ("/metrics", "get"): Operation("get_metrics", "Figures for Prometheus", None, also=("text/plain",)),
}  # fmt: skip
BINARY = (*PICTURE, "image/png", ARROW, PARQUET)
TEXT, NUMBER = {"type": "string"}, {"type": "number"}
OF_EVENTS = {"description": "events of the kinds that may be asked for; `data` of each is a JSON object"}
"""Without a type: until OpenAPI 3.2 some take a schema here for the stream's, others for an event's."""
HEADERS: Mapping[str, tuple[Mapping[str, str], str]] = {
    HEADER: (TEXT, "where what was sent is on the log, or in the view: a read with `?after=` this sees it"),
    "Location": (TEXT, "of the image"),
    "Circles-Snapshot": (TEXT, "of the lake that was read, or an older one; for callers of all projects"),
    "Circles-Watermark": (TEXT, "up to which uploads were detected or failed; for callers of all projects"),
    "Circles-Age": (NUMBER, "seconds since what was read was the newest"),
    "Link": (TEXT, "to the next page (RFC 8288)"),
    "ETag": (TEXT, "for If-None-Match"),
}
ANSWERED_WITH: Mapping[type[BaseModel], tuple[str, ...]] = {
    schemas.Uploaded: (HEADER, "Location"),
    schemas.Recorded: (HEADER,),
    schemas_of_replays.Promoted: (HEADER,),
    schemas.Annotations: (*READ_FROM, "ETag"),
    schemas.Images: (*READ_FROM, "Link"),
    schemas.Circles: (*READ_FROM, "Link"),
    schemas.Statistics: READ_FROM,
    schemas.Batch: READ_FROM,
    schemas_of_comparisons.Comparison: READ_FROM,
    schemas_of_comparisons.ComparedImages: READ_FROM,
    schemas.ObjectsOfImage: (*READ_FROM, "ETag"),
    schemas.Circle: (*READ_FROM, "ETag"),
    schemas.Image: (*READ_FROM, "ETag"),
}
"""Headers of the answers that have a model."""


def complete(app: FastAPI) -> None:
    """Complete the app's document, which is made once. After it, a route without its line is a KeyError."""
    document: dict[str, Any] = app.openapi()
    models: list[type[BaseModel]] = [each.model for each in OPERATIONS.values() if each.model]
    models += [schemas.Problem, schemas.Accepted]
    wanted: list[tuple[type[BaseModel], Literal["serialization"]]] = [
        (model, "serialization") for model in dict.fromkeys(models)
    ]
    _, made = models_json_schema(wanted, ref_template=REFS)
    document.setdefault("components", {})["schemas"] = made["$defs"]
    for path, operations in document["paths"].items():
        for method, described in operations.items():
            _describe(described, OPERATIONS[path, method], path)


def _describe(described: dict[str, Any], known: Operation, path: str) -> None:
    described |= {"operationId": known.name, "summary": known.summary}
    for parameter in described.get("parameters", ()):
        parameter["schema"] = _sent(parameter["schema"])
    answers = described["responses"]
    first = next(status for status in answers if status.startswith("2"))
    answers[first] = _answer(known, known.summary)
    for status in known.further:
        phrase = HTTPStatus(status).phrase
        answers[str(status)] = {"description": phrase} if status == 304 else _answer(known, phrase)
    if "422" in answers and 422 not in known.problems:
        del answers["422"]  # FastAPI's, of a path that takes any text
    refused = [int(status) for status in answers if status in ("401", "403", "429")]
    for number in sorted({*known.problems, *refused, 500}):
        said = answers.get(str(number), {}).get("description")
        if not said or number == 422:
            said = HTTPStatus(number).phrase
        content = {
            "schema": {"$ref": REFS.format(model="Problem")},
            "example": examples.problem(number, path),
        }
        answers[str(number)] = {"description": said, "content": {PROBLEM: content}}


def _sent(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null, which is none that a URL or a header could have."""
    null = {"type": "null"}
    if null not in schema.get("anyOf", ()):
        return schema
    kinds = [kind for kind in schema["anyOf"] if kind != null]
    rest = {name: said for name, said in schema.items() if name != "anyOf"}
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


def _answer(known: Operation, description: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": description, "content": _content(known)}
    if known.model and known.model in ANSWERED_WITH:
        named = {name: HEADERS[name] for name in ANSWERED_WITH[known.model]}
        answer["headers"] = {n: {"schema": schema, "description": d} for n, (schema, d) in named.items()}
    return answer


def _content(known: Operation) -> dict[str, Any]:
    """By media type, JSON first: makers of clients take the first that they know."""
    shown = {"example": examples.ANSWERS[known.name]} if known.name in examples.ANSWERS else {}
    content: dict[str, Any] = {}
    if known.model is schemas.Image:
        either = [{"$ref": REFS.format(model=name)} for name in ("Image", "Accepted")]
        content["application/json"] = {"schema": {"anyOf": either}, **shown}
    elif known.model:
        content["application/json"] = {"schema": {"$ref": REFS.format(model=known.model.__name__)}, **shown}
    for media in known.also:
        schema = {"type": "string", "format": "binary"} if media in BINARY else TEXT
        content[media] = {
            "schema": OF_EVENTS if media == EVENTS else schema,
            **({} if known.model else shown),
        }
    return content
