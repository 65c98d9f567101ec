"""Annotated images in the COCO format, checked before any model looks at them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from detector.circles import CIRCLE, Circles, FloatArray
from detector.errors import InvalidImage
from detector.images import inspect

ANNOTATIONS = "annotations.coco.json"


class InvalidDataset(ValueError):
    """The annotations or their images cannot be measured against; nothing was left out silently."""


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """An image file and the circles that people marked in it (score 1, in the file's order)."""

    name: str
    path: Path
    truth: Circles


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images in the order of the file; those without a circle in them, too."""

    name: str
    images: tuple[AnnotatedImage, ...]


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Annotation(BaseModel):
    id: int | str | None = None
    image_id: int | str
    bbox: tuple[_Number, _Number, _Number, _Number]
    iscrowd: int = 0


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]


def read(place: Path) -> Dataset:
    """The dataset of a COCO file, or of a folder with one, images beside it or in `images/`.

    Every category is a circle: its centre is that of the box, r = (width + height) / 4. Raises
    InvalidDataset, also where an image is missing, damaged or of another size than annotated.
    """
    file = annotation_file(place)
    coco = parse(file)
    circles = by_image(file, coco)
    paths = find_images(file.parent, coco.images)
    for image, path in zip(coco.images, paths, strict=True):
        check_image(image, path)
    images = (
        AnnotatedImage(image.file_name, path, circles[image.id])
        for image, path in zip(coco.images, paths, strict=True)
    )
    return Dataset(name_of(place), tuple(images))


def name_of(place: Path) -> str:
    """A folder's own name; a file's, or that of its folder where the file has the usual one."""
    place = place.absolute()
    return place.parent.name if place.name == ANNOTATIONS else place.stem if place.is_file() else place.name


def annotation_file(place: Path) -> Path:
    """The COCO file meant: itself, the folder's `annotations.coco.json`, or the only JSON in it."""
    if place.is_file():
        return place
    if not place.is_dir():
        raise InvalidDataset(f"there is no {place}")
    if (usual := place / ANNOTATIONS).is_file():
        return usual
    files = sorted(place.glob("*.json"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise InvalidDataset(f"{place} needs {ANNOTATIONS} or one other .json file, it has {found}")
    return files[0]


def parse(file: Path) -> _Coco:
    try:
        coco = _Coco.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidDataset(f"{file} is not COCO: {where + ': ' if where else ''}{first['msg']}") from None
    if not coco.annotations:
        raise InvalidDataset(f"{file} has no annotations")
    ids = [image.id for image in coco.images]
    if len(set(ids)) < len(ids):
        raise InvalidDataset(f"{file} gives the same id to several images")
    return coco


def by_image(file: Path, coco: _Coco) -> dict[int | str, Circles]:
    names = {image.id: image.file_name for image in coco.images}
    boxes: dict[int | str, list[tuple[float, ...]]] = defaultdict(list)
    for index, annotation in enumerate(coco.annotations):
        what = f"{file}: annotation {annotation.id if annotation.id is not None else f'at {index}'}"
        if annotation.image_id not in names:
            raise InvalidDataset(f"{what} is of image {annotation.image_id}, which is not listed")
        what += f" of {names[annotation.image_id]}"
        x, y, width, height = annotation.bbox
        if annotation.iscrowd:
            raise InvalidDataset(f"{what} is a crowd (iscrowd): a box around many is no circle")
        if width <= 0 or height <= 0:
            raise InvalidDataset(f"{what} has a box without an area: {width:g} x {height:g}")
        boxes[annotation.image_id].append((x, y, x + width, y + height))
    return {image_id: of_boxes(np.array(boxes[image_id]).reshape(-1, 4)) for image_id in names}


def of_boxes(boxes: FloatArray) -> Circles:
    """Circles of score 1 from boxes, (n, 4) rows of x_min, y_min, x_max, y_max, in their order."""
    x_min, y_min, x_max, y_max = np.asarray(boxes, dtype=float).T
    radius = (x_max - x_min + y_max - y_min) / 4
    columns = {
        "x": (x_min + x_max) / 2, "y": (y_min + y_max) / 2, "radius": radius, "score": np.ones_like(radius),
        "x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max, "major": radius, "minor": radius,
    }  # fmt: skip
    circles = np.zeros(len(radius), dtype=CIRCLE)
    for field, column in columns.items():
        circles[field] = column
    return circles


def find_images(folder: Path, images: Sequence[_Image]) -> list[Path]:
    paths, missing = [], []
    for image in images:
        places = [folder / image.file_name, folder / "images" / image.file_name]
        path = next((place for place in places if place.is_file()), None)
        if path:
            paths.append(path)
        else:
            missing.append(image.file_name)
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InvalidDataset(f"{folder} and its images/ lack {', '.join(missing[:5])}{more}")
    return paths


def check_image(image: _Image, path: Path) -> None:
    try:
        seen = inspect(path.read_bytes(), decode=True)
    except InvalidImage as error:
        raise InvalidDataset(f"{path}: {error}") from error
    said = (image.width or seen.width, image.height or seen.height)
    if said != (seen.width, seen.height):
        raise InvalidDataset(
            f"{path} stores {seen.width} x {seen.height} pixels but is annotated as {said[0]} x {said[1]};"
            " an EXIF orientation is not applied here"
        )
