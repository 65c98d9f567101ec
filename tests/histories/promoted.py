"""The checker of reads during promotions: what each answer shows has to be what one snapshot says is served.

What is served is worked out here once more, from the rows of the view and the snapshots that added them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb

from streams import lake
from streams.settings import Settings


class Shown(NamedTuple):
    """An image of an answer. circles: ids of those shown, None where the answer has none of any image.

    version: as it is said; empty where the image is pending, None where it is not said.
    """

    image_id: str
    version: str | None
    circles: frozenset[str] | None
    all_circles: bool = True


class Answer(NamedTuple):
    """snapshot: the one named, than which what was read is no older."""

    path: str
    snapshot: int
    shown: tuple[Shown, ...]


class Detected(NamedTuple):
    snapshot: int
    version: str
    live: bool
    at: float
    circles: frozenset[str]


class Promoted(NamedTuple):
    snapshot: int
    version: str
    place: int


class Served:
    """What the view served of each image at each of its snapshots."""

    def __init__(self, detected: Mapping[str, Sequence[Detected]], promoted: Sequence[Promoted]) -> None:
        self._detected, self._promoted = detected, promoted

    def at(self, image_id: str, snapshot: int) -> Detected | None:
        places = {p.version: p.place for p in self._promoted if p.snapshot <= snapshot}
        there = [d for d in self._detected.get(image_id, ()) if d.snapshot <= snapshot]
        counted = [d for d in there if d.live or d.version in places]
        return max(counted, key=lambda d: (places.get(d.version, -1), d.at, d.version), default=None)

    def changes(self, images: Iterable[str], since: int) -> list[int]:
        """Snapshots from one on at which what is served of some images may change, and that one."""
        added = {d.snapshot for image_id in images for d in self._detected.get(image_id, ())}
        return sorted({since} | {s for s in added | {p.snapshot for p in self._promoted} if s > since})


def violations(answers: Iterable[Answer], served: Served) -> Iterator[str]:
    for answer in answers:
        images = [shown.image_id for shown in answer.shown]
        if not any(
            all(_is(shown, served.at(shown.image_id, snapshot)) for shown in answer.shown)
            for snapshot in served.changes(images, answer.snapshot)
        ):
            yield f"no snapshot from {answer.snapshot} on serves {answer}"[:600]


def _is(shown: Shown, served: Detected | None) -> bool:
    if shown.version is not None and shown.version != (served.version if served else ""):
        return False
    if shown.circles is None:
        return True
    circles = served.circles if served else frozenset()
    return shown.circles == circles if shown.all_circles else shown.circles <= circles


def read(settings: Settings) -> Served:
    """From the view, none of whose snapshots has expired."""
    with lake.connect(settings, read_only=True) as view:
        circles = defaultdict(set)
        for image_id, version, object_id in view.execute(
            "SELECT image_id, model_version, object_id FROM lake.objects"
        ).fetchall():
            circles[image_id, version].add(str(object_id))
        detected: dict[str, list[Detected]] = defaultdict(list)
        for snapshot, image_id, version, live, at in _added(
            view, "detections", "image_id, model_version, replay_id IS NULL, epoch(detected_at)"
        ):
            found = frozenset(circles[image_id, version])
            detected[str(image_id)].append(Detected(snapshot, version, live, at, found))
        promoted = [Promoted(*row) for row in _added(view, "promotions", "model_version, log_offset")]
    return Served(detected, promoted)


def _added(view: duckdb.DuckDBPyConnection, table: str, columns: str) -> list[tuple[Any, ...]]:
    last = lake.snapshot(view)
    return view.execute(
        f"SELECT snapshot_id, {columns} FROM lake.table_changes('{table}', 0, {last})"  # noqa: S608 our names
    ).fetchall()
