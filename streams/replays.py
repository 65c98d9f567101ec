"""Replays as the view has them: what each is to do, how far it is, and which images are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import duckdb
import orjson

from streams.reevaluation import ENDED, ReplayRequested, State
from streams.statements import read_statements

STATEMENTS = read_statements("streams", "replays.sql")
FILTERS = ("project_id", "source_id", "since", "until", "images", "annotated", "sample")
"""What a replay may ask of its images: names of its fields and of conditions in replays.sql."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay and its newest change."""

    requested: ReplayRequested
    state: State
    changed_by: str
    changed_at: datetime

    @property
    def version(self) -> str:
        return f"{self.requested.model_name}:{self.requested.model_version}"

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the images that a replay is about: how many its version has looked at, and how many it could not."""

    images: int
    detected: int
    missed: int

    @property
    def left(self) -> int:
        return self.images - self.detected - self.missed


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


def progress(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> Progress:
    """How far a replay is. Raises duckdb.Error."""
    (row,) = _ask(view, "progress", replay)
    return Progress(*row)


def left(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> dict[int, list[tuple[int, UUID]]]:
    """By partition of `images.uploaded`, in order: the offsets and images that it has no result for yet."""
    found: dict[int, list[tuple[int, UUID]]] = {}
    for partition, offset, image_id in _ask(view, "left", replay):
        found.setdefault(partition, []).append((offset, image_id))
    return found


def first_upload(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> datetime | None:
    """When the first of its images was uploaded that are on the log; None: none is. Raises duckdb.Error."""
    ((found,),) = _ask(view, "first_upload", replay)
    return found if isinstance(found, datetime) else None


def missed(view: duckdb.DuckDBPyConnection, replay_id: UUID, count: int) -> list[Missed]:
    """Images that a replay could not detect, at most so many, in the order of time."""
    values = {"replay_id": replay_id, "count": count}
    return [Missed(*row) for row in view.execute(STATEMENTS["missed"], values).fetchall()]


def _ask(view: duckdb.DuckDBPyConnection, statement: str, replay: ReplayRequested) -> list[Any]:
    asked = {name: getattr(replay, name) for name in FILTERS if getattr(replay, name) not in (None, False)}
    conditions = " AND ".join(STATEMENTS[name].strip().rstrip(";") for name in asked) or "true"
    text = STATEMENTS["chosen"].replace("{filters}", conditions) + STATEMENTS[statement]
    values = asked | {
        "replay_id": replay.replay_id,
        "model_name": replay.model_name,
        "model_version": replay.model_version,
        "requested_at": replay.requested_at,
        "begins": list(replay.begins),
        "ends": list(replay.ends),
    }
    return view.execute(text, {name: v for name, v in values.items() if f"${name}" in text}).fetchall()


def _replay(row: Mapping[str, Any]) -> Replay:
    facts = {field.name: row[field.name] for field in fields(ReplayRequested)}
    facts |= {name: tuple(orjson.loads(row[name])) for name in ("begins", "ends")}
    if row["images"] is not None:
        facts["images"] = tuple(map(UUID, orjson.loads(row["images"])))
    return Replay(ReplayRequested(**facts), row["state"], row["changed_by"], row["changed_at"])
