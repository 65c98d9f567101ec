"""Images with their newest annotation: read from the view, and written as COCO, CSV and JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import orjson

from streams.annotation_files import BOX, CIRCLE, COLUMNS
from streams.circles import CIRCLE as BLOCK
from streams.circles import Circles
from streams.reevaluation import DrawnAs
from streams.statements import read_statements

SQL = read_statements("streams", "ground_truth.sql")
NUMBERS = (*CIRCLE, *BOX)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Annotated:
    """An image and its newest annotation. The circles have no ids here."""

    image_id: UUID
    file_name: str
    sha256: str
    width: int
    height: int
    project_id: str
    source_id: str
    annotation_id: UUID
    annotator: str
    annotated_at: datetime
    model: str | None
    drawn_as: DrawnAs
    circles: Circles


def newest(
    view: duckdb.DuckDBPyConnection, chosen: str, store: str, values: Mapping[str, Any]
) -> list[Annotated]:
    """Those of the images that a condition of ground_truth.sql chooses, by id. Raises duckdb.Error.

    store: the URL below which images are named. values: the snapshot, and what the condition names.
    """
    text = SQL["newest"].replace("{chosen}", SQL[chosen])
    result = view.execute(text, {**values, "store": store.rstrip("/") + "/"})
    names = [column[0] for column in result.description or ()]
    rows = (dict(zip(names, row, strict=True)) for row in result.fetchall())
    return [_annotated(list(of_image)) for _, of_image in groupby(rows, lambda row: row["image_id"])]


def _annotated(rows: Sequence[dict[str, Any]]) -> Annotated:
    first = rows[0]
    drawn = [row for row in rows if row["radius"] is not None]
    circles = np.zeros(len(drawn), BLOCK)
    for name in NUMBERS:
        circles[name] = [row[name] for row in drawn]
    circles["score"] = 1
    facts = {name: first[name] for name in Annotated.__slots__ if name in first}
    model = first["model_name"] and f"{first['model_name']}:{first['model_version']}"
    return Annotated(**facts, model=model, circles=circles)


def coco(images: Sequence[Annotated], version: str) -> Iterator[bytes]:
    """Parts of a COCO file; its readers want whole numbers for ids. `circle` is there where one was drawn."""
    about = {"description": "circles as people annotated them", "version": version}
    yield b'{"info": ' + orjson.dumps(about) + b',\n"categories": [{"id": 1, "name": "circle"}],\n"images": ['
    yield b",\n".join(
        orjson.dumps({"id": number, "width": image.width, "height": image.height, **_about(image)})
        for number, image in enumerate(images, 1)
    )
    yield b'],\n"annotations": ['
    yield b",\n".join(
        orjson.dumps({"id": number, **one}) for number, one in enumerate(_annotations(images), 1)
    )
    yield b"]}\n"


def _annotations(images: Sequence[Annotated]) -> Iterator[dict[str, Any]]:
    for number, image in enumerate(images, 1):
        for circle in image.circles:
            x, y, x_max, y_max = (_plain(circle[name]) for name in BOX)
            width, height = x_max - x, y_max - y
            one: dict[str, Any] = {
                "image_id": number, "category_id": 1, "iscrowd": 0,
                "bbox": [x, y, width, height], "area": width * height,
            }  # fmt: skip
            if image.drawn_as == "circles":
                one["circle"] = {name: _plain(circle[name]) for name in CIRCLE}
            yield one


def jsonl(images: Sequence[Annotated], _: str) -> Iterator[bytes]:
    """A line for each image, as `circles annotations import` and, but for the image, the API take it."""
    for image in images:
        drawn: list[Any]
        if image.drawn_as == "circles":
            drawn = [{name: _plain(circle[name]) for name in CIRCLE} for circle in image.circles]
        else:
            drawn = [[_plain(circle[name]) for name in BOX] for circle in image.circles]
        yield orjson.dumps(_about(image) | {image.drawn_as: drawn}) + b"\n"


def table(images: Sequence[Annotated], _: str) -> Iterator[bytes]:
    """CSV: a row for each circle or box; one without numbers for an image that has none."""
    yield _row(COLUMNS)
    for image in images:
        about = _about(image)
        names = CIRCLE if image.drawn_as == "circles" else BOX
        drawn: Iterable[dict[str, Any]] = [{n: _plain(c[n]) for n in names} for c in image.circles] or [{}]
        for each in drawn:
            row = about | each
            yield _row([row.get(name) for name in COLUMNS])


def _row(values: Sequence[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue().encode()


def _about(image: Annotated) -> dict[str, Any]:
    return {
        "image_id": str(image.image_id),
        "file_name": image.file_name,
        "sha256": image.sha256,
        "annotator": image.annotator,
        "annotated_at": image.annotated_at.isoformat(),
        "from": image.model,
    }


def _plain(number: np.float32) -> float:
    """With the digits that make it this number of 32 bits, which are those that somebody gave: 10.1."""
    return float(str(number))


WRITERS: Mapping[str, Callable[[Sequence[Annotated], str], Iterator[bytes]]] = {
    "coco": coco, "csv": table, "jsonl": jsonl
}  # fmt: skip
