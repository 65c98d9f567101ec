"""Replays as the view has them: what each is to do, how far it is, and which images are left."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import duckdb
import orjson

from streams.records import ImageUploaded
from streams.reevaluation import ENDED, ReplayRequested, State
from streams.statements import read_statements

STATEMENTS = read_statements("streams", "replays.sql")
FILTERS = ("project_id", "source_id", "since", "until", "images", "annotated", "share", "sample")
"""What a replay may ask of its images: names of its fields and of conditions in replays.sql."""

NO_END = 2**62


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay and its newest change. state: as the log has it, `shown` as people are told."""

    requested: ReplayRequested
    state: State
    changed_by: str
    changed_at: datetime

    @property
    def version(self) -> str:
        return f"{self.requested.model_name}:{self.requested.model_version}"

    @property
    def shown(self) -> str:
        return "following" if self.requested.follow and self.state == "running" else self.state

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the images that a replay is about: how many its version has looked at, and how many it could not.

    behind: of one that follows, whose images are those it has come to, how many uploads the log has beyond;
    waiting_since: when the oldest of these came, where Kafka says it.
    """

    images: int
    detected: int
    missed: int
    behind: int | None = None
    waiting_since: datetime | None = None

    @property
    def left(self) -> int:
        """Of one that follows, at most so many."""
        return self.images - self.detected - self.missed + (self.behind or 0)


@dataclass(frozen=True, slots=True)
class Missed:
    """An image that a replay could not detect, and why."""

    image_id: UUID
    error: str
    reason: str
    failed_at: datetime


def find(view: duckdb.DuckDBPyConnection) -> list[Replay]:
    """All replays, newest first. Raises duckdb.Error."""
    result = view.execute(STATEMENTS["replays"])
    names = [column[0] for column in result.description]
    return [_replay(dict(zip(names, row, strict=True))) for row in result.fetchall()]


def running(view: duckdb.DuckDBPyConnection) -> set[UUID]:
    """The replays that are to be worked on. Raises duckdb.Error."""
    return {replay_id for (replay_id,) in view.execute(STATEMENTS["running"]).fetchall()}


def progress(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> Progress:
    """How far a replay is. Raises duckdb.Error."""
    (row,) = _ask(view, "progress", replay)
    return Progress(*row)


def left(
    view: duckdb.DuckDBPyConnection,
    replay: ReplayRequested,
    ranges: Sequence[tuple[int, int]] | None = None,
) -> dict[int, list[tuple[int, UUID]]]:
    """By partition of `images.uploaded`, in order: the offsets and images that it has no result for yet.

    ranges: only of these offsets, by partition. Raises duckdb.Error.
    """
    found: dict[int, list[tuple[int, UUID]]] = {}
    for partition, offset, image_id in _ask(view, "left", replay, ranges):
        found.setdefault(partition, []).append((offset, image_id))
    return found


def done(
    view: duckdb.DuckDBPyConnection, replay: ReplayRequested, begins: Sequence[int]
) -> dict[int, dict[int, bool]]:
    """By partition and offset, images with a result: whether they were detected; else they were missed.

    begins: by partition, from where on. Raises duckdb.Error.
    """
    found: dict[int, dict[int, bool]] = {}
    ends = [NO_END] * len(begins)
    for partition, offset, is_detected in _ask(view, "done", replay, list(zip(begins, ends, strict=True))):
        found.setdefault(partition, {})[offset] = is_detected
    return found


def backlog(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> dict[int, int]:
    """By partition, the offset of the first of its images. Raises duckdb.Error."""
    return dict(_ask(view, "backlog", replay))


def counted(view: duckdb.DuckDBPyConnection, replay_id: UUID) -> tuple[int, int]:
    """How many images a replay has detected and missed, read from all there are. Raises duckdb.Error."""
    ((detected, missed),) = view.execute(STATEMENTS["counted"], {"replay_id": replay_id}).fetchall()
    return detected, missed


def is_about(replay: ReplayRequested, upload: ImageUploaded) -> bool:
    """What the conditions in replays.sql say that a replay without an end may have."""
    return (
        replay.project_id in (None, upload.project_id)
        and replay.source_id in (None, upload.source_id)
        and (replay.since is None or upload.uploaded_at >= replay.since)
        and (replay.share is None or hashed(upload.image_id) < below(replay.share))
    )


def hashed(image_id: UUID) -> str:
    """By which a share of images is chosen: the same ones in every process and replay."""
    return hashlib.md5(str(image_id).encode(), usedforsecurity=False).hexdigest()


def below(share: float) -> str:
    """The text that so large a share of all hashes is below."""
    return f"{int(share * 2**32):08x}" if share < 1 else "g"


def first_upload(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> datetime | None:
    """When the first of its images was uploaded that are on the log; None: none is. Raises duckdb.Error."""
    ((found,),) = _ask(view, "first_upload", replay)
    return found if isinstance(found, datetime) else None


def missed(view: duckdb.DuckDBPyConnection, replay_id: UUID, count: int) -> list[Missed]:
    """Images that a replay could not detect, at most so many, in the order of time."""
    values = {"replay_id": replay_id, "count": count}
    return [Missed(*row) for row in view.execute(STATEMENTS["missed"], values).fetchall()]


def _ask(
    view: duckdb.DuckDBPyConnection,
    statement: str,
    replay: ReplayRequested,
    ranges: Sequence[tuple[int, int]] | None = None,
) -> list[Any]:
    """ranges: of offsets by partition; None: the replay's own."""
    asked = {name: getattr(replay, name) for name in FILTERS if getattr(replay, name) not in (None, False)}
    conditions = " AND ".join(STATEMENTS[name].strip().rstrip(";") for name in asked) or "true"
    text = STATEMENTS["chosen"].replace("{filters}", conditions) + STATEMENTS[statement]
    of = list(zip(replay.begins, replay.ends, strict=True)) if ranges is None else ranges
    begins, ends = [begin for begin, _ in of], [end for _, end in of]
    values = asked | {
        "below": below(replay.share) if replay.share is not None else None,
        "low": min(begins, default=0),
        "high": max(ends, default=0),
        "replay_id": replay.replay_id,
        "model_name": replay.model_name,
        "model_version": replay.model_version,
        "requested_at": replay.requested_at,
        "begins": begins,
        "ends": ends,
    }
    return view.execute(text, {name: v for name, v in values.items() if f"${name}" in text}).fetchall()


def _replay(row: Mapping[str, Any]) -> Replay:
    facts = {field.name: row[field.name] for field in fields(ReplayRequested)}
    facts["follow"] = bool(facts["follow"])  # NULL of one that was folded before there were such
    facts |= {name: tuple(orjson.loads(row[name])) for name in ("begins", "ends")}
    if row["images"] is not None:
        facts["images"] = tuple(map(UUID, orjson.loads(row["images"])))
    return Replay(ReplayRequested(**facts), row["state"], row["changed_by"], row["changed_at"])
