"""Files of ground truth as they are read: COCO, CSV and JSON lines. Pure.

All that is wrong with a file is found before anything is done with it, and named by its place there.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from streams.ground_truth import Box, Circle, Model, Name, Number, Shapes, named, wrong_entries

TOLD = 10
"""Of the wrong entries of a file."""
CIRCLE, BOX = ("x", "y", "radius"), ("x_min", "y_min", "x_max", "y_max")
BY = ("image_id", "sha256", "file_name")
"""What names an image; the first that finds one counts."""
WHO = ("annotator", "annotated_at", "from")
"""Of an image, so equal in all of its rows that say it."""
COLUMNS = (*BY, *WHO, *CIRCLE, *BOX)
"""Of a CSV file; a row is a circle, a box, or an image without any."""
_COLUMNS_ARE = (
    f"one of the columns has to be {' or '.join(BY)}, and there have to be"
    f" {', '.join(CIRCLE)} or {', '.join(BOX)}"
)


class InvalidFile(ValueError):
    """Entries that cannot be taken; nothing of the file is. The message names the first of them."""

    def __init__(self, wrong: Sequence[str]) -> None:
        more = f"\nand {len(wrong) - TOLD} more" if len(wrong) > TOLD else ""
        super().__init__("\n".join(wrong[:TOLD]) + more)


class About(BaseModel):
    """Which image, and who says so: fields that each format has in its own place."""

    image_id: UUID | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    file_name: str = ""
    annotator: Name | None = None
    annotated_at: AwareDatetime | None = None
    from_: Model | None = Field(None, alias="from")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file says of one image. where: its place there; places: those of its circles or boxes.

    size: width and height of the image, where the file says them.
    """

    where: str
    about: About
    shapes: Shapes
    places: Sequence[str]
    size: tuple[int | None, int | None] = (None, None)


class _CocoImage(About):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class _CocoAnnotation(BaseModel):
    image_id: int | str
    bbox: Box
    iscrowd: int = 0
    circle: Circle | None = None


class _Coco(BaseModel):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]


class _Line(Shapes, About):
    pass


def read_coco(data: bytes) -> list[Entry]:
    """An entry for each image, also for those without annotations: they have no circles.

    Every category is a circle. An annotation's `circle` ({x, y, radius}) counts before its box, which has to
    be the circle's; images of which some annotations have none are drawn as boxes. Raises InvalidFile.
    """
    try:
        coco = _Coco.model_validate_json(data)
    except ValidationError as error:
        raise InvalidFile(wrong_entries(error)) from error
    wrong, first = [], dict[int | str, int]()
    for index, image in enumerate(coco.images):
        if first.setdefault(image.id, index) != index:
            wrong.append(f"images[{index}].id: images[{first[image.id]}] has {image.id!r}, too")
    of_image: dict[int | str, list[int]] = defaultdict(list)
    for index, annotation in enumerate(coco.annotations):
        of_image[annotation.image_id].append(index)
        wrong += [f"annotations[{index}].{reason}" for reason in _wrong_in(annotation, first)]
    entries = []
    for index, image in enumerate(coco.images):
        found = [coco.annotations[at] for at in of_image[image.id]]
        try:
            if found and all(annotation.circle for annotation in found):
                shapes, name = Shapes(circles=[a.circle for a in found if a.circle]), "circle"
            else:
                shapes, name = Shapes(boxes=[_corners(a.bbox) for a in found]), "bbox"
        except ValidationError as error:
            wrong += wrong_entries(error, f"images[{index}]")
            continue
        places = [f"annotations[{at}].{name}" for at in of_image[image.id]]
        entries.append(Entry(f"images[{index}]", image, shapes, places, (image.width, image.height)))
    if wrong:
        raise InvalidFile(wrong)
    return entries


def _wrong_in(annotation: _CocoAnnotation, images: Mapping[int | str, int]) -> list[str]:
    wrong = []
    *_, width, height = annotation.bbox
    if annotation.image_id not in images:
        wrong.append(f"image_id: {annotation.image_id!r} is not the id of any image")
    if annotation.iscrowd:
        wrong.append("iscrowd: a box around many is no circle")
    if width <= 0 or height <= 0:
        wrong.append(f"bbox: it is x, y, width, height, and {width:g} x {height:g} has no area")
    elif circle := annotation.circle:
        x, y, radius = circle.x, circle.y, circle.radius
        box = (x - radius, y - radius, x + radius, y + radius)
        if any(abs(a - b) > 1 for a, b in zip(box, _corners(annotation.bbox), strict=True)):
            wrong.append("circle: it is not the one in bbox; leave out the one that is not right")
    return wrong


def _corners(bbox: Sequence[float]) -> list[float]:
    x, y, width, height = bbox
    return [x, y, x + width, y + height]


def read_jsonl(data: bytes) -> list[Entry]:
    """An entry a line: what names the image, and `circles` or `boxes` as the API takes them.

    Raises InvalidFile.
    """
    entries, wrong = [], []
    for number, text in enumerate(data.splitlines(), 1):
        if not text.strip():
            continue
        where = f"line {number}"
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            wrong += wrong_entries(error, where)
            continue
        drawn = line.circles if line.boxes is None else line.boxes
        places = [named(where, (line.drawn_as, index)) for index in range(len(drawn or ()))]
        entries.append(Entry(where, line, line, places))
    if wrong:
        raise InvalidFile(wrong)
    return entries


def read_csv(text: str) -> list[Entry]:
    """An entry for each image; a row is one circle (x, y, radius) or box (x_min, y_min, x_max, y_max) of it.

    A row with neither says that there are none. Raises InvalidFile.
    """
    rows: dict[tuple[str, ...], list[tuple[str, dict[str, str]]]] = defaultdict(list)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or ()
        if not set(names) & set(BY) or not (set(CIRCLE) <= set(names) or set(BOX) <= set(names)):
            raise InvalidFile([f"line 1: {_COLUMNS_ARE}; they are {', '.join(names)}"])
        if twice := {name for name in names if names.count(name) > 1}:
            raise InvalidFile([f"line 1: {', '.join(sorted(twice))} is there twice"])
        for row in reader:
            if None in row:
                raise InvalidFile([f"line {reader.line_num}: it has more cells than line 1 has names"])
            said = {name: value for name, value in row.items() if name in COLUMNS and value}
            rows[tuple(said.get(name, "") for name in BY)].append((f"line {reader.line_num}", said))
    except csv.Error as error:
        raise InvalidFile([f"line {reader.reader.line_num}: {error}"]) from error
    entries, wrong = [], []
    for of_image in rows.values():
        try:
            entries.append(_of_rows(of_image))
        except InvalidFile as error:
            wrong.append(str(error))
    if wrong:
        raise InvalidFile(wrong)
    return entries


def _of_rows(rows: Sequence[tuple[str, dict[str, str]]]) -> Entry:
    """Raises InvalidFile for the first row that is wrong."""
    drawn: dict[str, list[Any]] = {"circles": [], "boxes": []}
    places, where, whose = [], rows[0][0], dict[str, str]()
    for where, said in rows:
        circle, box = ({n: said[n] for n in names if n in said} for names in (CIRCLE, BOX))
        try:
            if circle and not box:
                drawn["circles"].append(Circle.model_validate(circle))
            elif box and not circle:
                drawn["boxes"].append(_Box.model_validate(box).corners)
            elif box or len(rows) > 1:
                raise InvalidFile([f"{where}: a row is a circle or a box, or the only one of its image"])
            about = About.model_validate(said | whose)
        except ValidationError as error:
            raise InvalidFile([f"{where}: {line}" for line in wrong_entries(error)][:1]) from error
        for name in WHO:
            if name in said and whose.setdefault(name, said[name]) != said[name]:
                raise InvalidFile(
                    [f"{where}: {name} is {said[name]}; in a row of the image before, {whose[name]}"]
                )
        places.append(where)
    if drawn["circles"] and drawn["boxes"]:
        raise InvalidFile([f"{where}: an image has circles or boxes, not both"])
    kind = "boxes" if drawn["boxes"] else "circles"
    try:
        return Entry(rows[0][0], about, Shapes.model_validate({kind: drawn[kind]}), places)
    except ValidationError as error:
        raise InvalidFile(wrong_entries(error, rows[0][0])) from error


class _Box(BaseModel):
    x_min: Number
    y_min: Number
    x_max: Number
    y_max: Number

    @property
    def corners(self) -> list[float]:
        return [self.x_min, self.y_min, self.x_max, self.y_max]
