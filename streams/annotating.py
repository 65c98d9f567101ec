"""Taking entries of a file for images of the view: all of them, or none."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

import duckdb

from streams import lake
from streams.annotated import SQL, Annotated, newest
from streams.annotation_files import Entry, InvalidFile
from streams.circles import Circles
from streams.ground_truth import InvalidAnnotation, annotation, content, drawn, same
from streams.reevaluation import DrawnAs, ImageAnnotated
from streams.rows import LONG, TEXT, UUIDS, columns


class Match(NamedTuple):
    """An image that an entry may mean. rank: of what names it; the lowest counts."""

    entry: int
    rank: int
    image_id: UUID
    project_id: str
    width: int
    height: int


class Wanted(NamedTuple):
    """What names an entry's image."""

    entry: int
    image_id: UUID | None
    sha256: str | None
    name: str | None


class Checked(NamedTuple):
    entry: Entry
    image: Match
    circles: Circles


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file comes to: the annotations that are new, and how many images have equal ones already."""

    new: Sequence[ImageAnnotated]
    equal: int


def plan(
    view: duckdb.DuckDBPyConnection,
    entries: Sequence[Entry],
    *,
    annotator: str | None,
    otherwise: str,
    project: str | None,
    now: datetime,
) -> Plan:
    """Which records a file's entries become. Raises InvalidFile, duckdb.Error.

    annotator: who says so, whatever the file says; otherwise: who, where nobody is named.
    """
    snapshot = lake.snapshot(view)
    wanted = [
        Wanted(i, e.about.image_id, e.about.sha256, e.about.file_name.rpartition("/")[2] or None)
        for i, e in enumerate(entries)
    ]
    batch = columns(wanted, entry=LONG, image_id=UUIDS, sha256=TEXT, name=TEXT)
    view.register("batch", batch)
    found = view.execute(SQL["matches"], {"project": project, "snapshot": snapshot}).fetchall()
    taken = checked(entries, [Match(*row) for row in found])
    view.register("batch", columns([one.image for one in taken], image_id=UUIDS))
    known = {one.image_id: one for one in newest(view, "of_batch", "", {"snapshot": snapshot})}
    view.unregister("batch")
    new = []
    for entry, image, circles in taken:
        about, before = entry.about, known.get(image.image_id)
        if before and same(entry.shapes.drawn_as, circles, before.drawn_as, before.circles):
            continue
        new.append(
            annotation(
                version_id(image.image_id, before, entry.shapes.drawn_as, circles), image.image_id,
                image.project_id, annotator or about.annotator or otherwise, about.from_,
                about.annotated_at or now, entry.shapes.drawn_as, circles,
            )
        )  # fmt: skip
    return Plan(new, len(taken) - len(new))


def checked(entries: Sequence[Entry], matches: Sequence[Match]) -> list[Checked]:
    """Each entry with its one image, and circles that this image can have. Raises InvalidFile."""
    by_entry: dict[int, list[Match]] = defaultdict(list)
    for match in matches:
        by_entry[match.entry].append(match)
    taken: dict[UUID, Checked] = {}
    wrong = []
    for index, entry in enumerate(entries):
        best = min((match.rank for match in by_entry[index]), default=0)
        images = [match for match in by_entry[index] if match.rank == best]
        if len(images) != 1:
            wrong.append(f"{entry.where}: {_no_one(entry, images)}")
            continue
        (image,) = images
        if other := taken.get(image.image_id):
            wrong.append(f"{entry.where}: it is image {image.image_id}, as {other.entry.where} is")
        elif any(said not in (None, is_) for said, is_ in zip(entry.size, image[4:], strict=True)):
            wrong.append(
                f"{entry.where}: image {image.image_id} is {image.width} x {image.height} pixels, not"
                f" {entry.size[0]} x {entry.size[1]}"
            )
        else:
            try:
                taken[image.image_id] = Checked(entry, image, drawn(entry.shapes, image.width, image.height))
            except InvalidAnnotation as error:
                wrong.append(f"{entry.places[error.index]}: {error.reason}")
    if wrong:
        raise InvalidFile(wrong)
    return list(taken.values())


def _no_one(entry: Entry, images: Sequence[Match]) -> str:
    about = entry.about
    names = (("id", about.image_id), ("sha256", about.sha256), ("file name", about.file_name))
    what = ", ".join(f"{name} {value}" for name, value in names if value) or "nothing that names it"
    if not images:
        return f"no image has {what}"
    some = ", ".join(str(match.image_id) for match in images[:3])
    projects = len({match.project_id for match in images}) > 1
    which = "say image_id, or --project" if projects else "say which by image_id"
    return f"{len(images)} images have {what}, among them {some}: {which}"


def version_id(image_id: UUID, before: Annotated | None, drawn_as: DrawnAs, circles: Circles) -> UUID:
    """Id of a version that takes the place of another: the same wherever and however often it is imported."""
    said = hashlib.sha256(drawn_as.encode() + b"".join(content(circles))).hexdigest()
    return uuid5(before.annotation_id if before else image_id, said)
