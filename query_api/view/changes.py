"""Changes of the view, one by one: uploads, detections and failures, in an order that all processes share.

The place of a change is the snapshot that committed it and its number among all changes of that snapshot: by
kind, then by image, then by model or dead letter. Whoever reads the lake again finds it at the same place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

import orjson

from query_api.view.commits import Delta

Kind = Literal["uploaded", "detected", "failed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TABLES: Mapping[Kind, str] = {"uploaded": "images", "detected": "detections", "failed": "failures"}
SHOWN: Mapping[Kind, tuple[str, ...]] = {
    "uploaded": (
        "content_type", "width", "height", "size_bytes", "sha256", "captured_at", "uploaded_at", "attributes",
    ),
    "detected": ("model_name", "model_version", "circle_count", "latency_ms", "detected_at"),
    "failed": ("dead_letter_id", "stage", "error", "reason", "failed_at"),
}  # fmt: skip
"""What a change tells, besides image, project and source."""
ALL = 999_999_999
"""As a number: behind all changes of a snapshot."""


class Place(NamedTuple):
    """Behind a change: what follows is what a client has not seen."""

    snapshot: int
    number: int

    @property
    def passed(self) -> int:
        """The last snapshot of which nothing is missing."""
        return self.snapshot if self.number >= ALL else self.snapshot - 1


class Of(NamedTuple):
    """Whose an image is; a source of None: its upload is not in the view yet."""

    project_id: str
    source_id: str | None


class Change(NamedTuple):
    """One change; data: its JSON."""

    place: Place
    kind: Kind
    of: Of
    data: bytes


def unnamed(delta: Delta) -> list[UUID]:
    """Images with an outcome whose upload is not among the same rows."""
    tables = (delta.tables[name] for name in ("detections", "failures") if name in delta.tables)
    found = {image_id for rows in tables for image_id in rows["image_id"].to_pylist() if image_id}
    images = delta.tables.get("images")
    return sorted(found - set(images["image_id"].to_pylist() if images else ()))


def changes(delta: Delta, known: Mapping[UUID, Of]) -> list[Change]:
    """All changes that commits made, in order. known: whose images are that `unnamed` named."""
    rows = sorted(_rows(delta), key=lambda row: row[:4])
    owners = dict(known)
    for _, kind, _, _, row in rows:
        if KINDS[kind] == "uploaded":
            owners[row["image_id"]] = Of(row["project_id"], row["source_id"])
    found = []
    for snapshot, of_snapshot in groupby(rows, key=lambda row: row[0]):
        for number, (_, kind, _, _, row) in enumerate(of_snapshot):
            of = owners.get(row["image_id"]) or Of(row["project_id"], None)
            found.append(Change(Place(snapshot, number), KINDS[kind], of, _json(KINDS[kind], of, row)))
    return found


def wanted(
    found: Sequence[Change], behind: Place, project: str | None, source: str | None, kinds: Sequence[Kind]
) -> list[Change]:
    """Those behind a place that a client asks for and may see; None and no kinds: any.

    An outcome whose source is not known yet is of any source: left out here, it would never come.
    """
    return [
        change
        for change in found
        if change.place > behind
        and project in (None, change.of.project_id)
        and (source is None or change.of.source_id in (None, source))
        and (not kinds or change.kind in kinds)
    ]


def _rows(delta: Delta) -> Iterator[tuple[int, int, bytes, tuple[Any, ...], dict[str, Any]]]:
    """Snapshot, kind, image, what orders an image's rows of one kind, and the row itself."""
    for number, kind in enumerate(KINDS):
        if table := delta.tables.get(TABLES[kind]):
            snapshots = delta.snapshots[TABLES[kind]]
            for snapshot, row in zip(snapshots, table.to_pylist(), strict=True):
                # A dead letter may be of no image; what a replay finds is no news of the image.
                if row["image_id"] and not row.get("replay_id"):
                    letter = row["dead_letter_id"].bytes if kind == "failed" else b""
                    further = (row.get("model_name", ""), row.get("model_version", ""), letter)
                    yield snapshot, number, row["image_id"].bytes, further, row


def _json(kind: Kind, of: Of, row: Mapping[str, Any]) -> bytes:
    facts = {"image_id": row["image_id"], "project_id": of.project_id, "source_id": of.source_id}
    more = {"count" if name == "circle_count" else name: row[name] for name in SHOWN[kind]}
    if "attributes" in more:
        more["attributes"] = orjson.Fragment(more["attributes"])
    return orjson.dumps(facts | more)
