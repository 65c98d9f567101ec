"""Promotions: which version of the model is the current one, and which it was before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import duckdb
import orjson
import uuid_utils.compat as uuids

from streams import lake
from streams.live_view import seen
from streams.model import KServeModel
from streams.produce import emit
from streams.reevaluation import ModelPromoted
from streams.settings import Settings
from streams.statements import read_statements
from streams.version import Version

STATEMENTS = read_statements("streams", "promotions.sql")
Evidence = Sequence[tuple[str, str]]
SEEN_S = 30.0
"""For the view to come to a promotion."""


class Promotion(NamedTuple):
    """A row of the view's `promotions`."""

    promotion_id: UUID
    version: Version
    previous: Version
    back: bool
    evidence: str
    promoted_by: str
    promoted_at: datetime


class Coverage(NamedTuple):
    """How many images there are, and how many of them a version has detected."""

    images: int
    detected: int


class Promoted(NamedTuple):
    """The version before, what the new one has detected, and the first snapshot seen that serves it:
    `generation.number`."""

    previous: Version
    covered: Coverage
    snapshot: str


def history(view: duckdb.DuckDBPyConnection) -> list[Promotion]:
    """All promotions, the newest first. Raises duckdb.Error."""
    return [
        Promotion(promotion_id, Version(*version), Version(*previous), back, evidence, by, at)
        for promotion_id, version, previous, back, evidence, by, at in view.execute(
            STATEMENTS["history"]
        ).fetchall()
    ]


def newest(view: duckdb.DuckDBPyConnection) -> Version | None:
    """The version that was promoted last. Raises duckdb.Error."""
    made = history(view)
    return made[0].version if made else None


def current(view: duckdb.DuckDBPyConnection) -> Version | None:
    """The version whose detections are served, before a first promotion that of the newest live detection."""
    if promoted := newest(view):
        return promoted
    rows = view.execute(STATEMENTS["live"]).fetchall()
    return Version(*rows[0]) if rows else None


def coverage(view: duckdb.DuckDBPyConnection, version: Version) -> Coverage:
    """Raises duckdb.Error."""
    return Coverage(*view.execute(STATEMENTS["coverage"], version._asdict()).fetchall()[0])


def promote(
    settings: Settings, version: Version, *, by: str, back: bool = False, evidence: Evidence = ()
) -> Promoted:
    """Make a version the current one.

    evidence: what it was required to meet and by what it does, to be kept with the promotion.
    It is in the view on return. Raises ValueError, with what would be right, where it cannot be;
    LogUnavailable, duckdb.Error.
    """
    Version.read(str(version))
    with lake.connect(settings, read_only=True) as view:
        previous, covered = current(view), coverage(view, version)
    if previous is None:
        raise ValueError(
            "there are no detections yet: there is nothing to promote, and nothing it would replace"
        )
    if previous == version:
        raise ValueError(f"{version} is the current one already")
    if not covered.detected:
        raise ValueError(
            f"{version} has detected no image yet: let it, by `circles replay start --model {version}`"
        )
    asyncio.run(_check_served(settings, version))
    promoted = ModelPromoted(
        promotion_id=uuids.uuid7(),
        model_name=version.name,
        model_version=version.version,
        previous_name=previous.name,
        previous_version=previous.version,
        back=back,
        evidence=orjson.dumps({**covered._asdict(), "required": dict(evidence)}).decode(),
        promoted_by=by,
        promoted_at=datetime.now(UTC),
    )
    if not seen(settings, emit(settings, [promoted]), SEEN_S):
        raise ValueError("it is on the log, but not in the view yet: is the materializer running?")
    generation = lake.live(settings)
    with lake.connect(settings, read_only=True, generation=generation) as view:
        return Promoted(previous, covered, f"{generation}.{lake.snapshot(view)}")


async def _check_served(settings: Settings, version: Version) -> None:
    wanted = {"model_name": version.name, "model_version": version.version}
    async with KServeModel(settings.model_copy(update=wanted)) as model:
        if not await model.ready():
            raise ValueError(
                f"the model server has no {version}, or it is not ready: nothing would be detected"
            )
