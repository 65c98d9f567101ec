"""Asking for a replay, and pausing, resuming or cancelling one: each is an event on the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import uuid_utils.compat as uuids

from streams import lake, partitions, progress, replays
from streams.ledger import Ledger
from streams.model import KServeModel
from streams.produce import emit
from streams.reevaluation import CALLS_AT_ONCE, ReplayChanged, ReplayRequested, State
from streams.replaying import for_version
from streams.replays import Progress, Replay
from streams.settings import Settings
from streams.topics import UPLOADED

FOLDED_S = 30.0
"""For the view to come to what is on the log now."""
FROM: Mapping[State, frozenset[State]] = {
    "paused": frozenset({"running"}),
    "running": frozenset({"paused"}),
    "cancelled": frozenset({"running", "paused"}),
}
"""From which states a replay can be brought to another."""


def request(
    settings: Settings, model: str, version: str, *, by: str, calls_at_once: int = CALLS_AT_ONCE, **asked: Any
) -> tuple[ReplayRequested, Progress]:
    """Put a replay on the log, which ends with what is there now; and how far it is already.

    asked: by the names in `replays.FILTERS`. Raises ValueError, with what would be right, where it could
    find nothing or not all; LogUnavailable, KafkaException, duckdb.Error.
    """
    consumer = progress.consumer(settings)
    try:
        seen = progress.look(consumer, partitions.WAIT_S)
    finally:
        consumer.close()
    uploads = sorted(at for at in seen.ends if at[0] == UPLOADED.name)
    replay = ReplayRequested(
        replay_id=uuids.uuid7(),
        model_name=model,
        model_version=version,
        calls_at_once=calls_at_once,
        begins=tuple(seen.begins[at] for at in uploads),
        ends=tuple(seen.ends[at] for at in uploads),
        requested_by=by,
        requested_at=datetime.now(UTC),
        **asked,
    )
    asyncio.run(_check_model(settings, replay))
    _until_folded(settings, {at: seen.ends[at] for at in uploads})
    with lake.connect(settings, read_only=True) as view:
        whole = replace(replay, begins=(0,) * len(replay.begins))
        everything, here = replays.progress(view, whole), replays.progress(view, replay)
        if not everything.images:
            raise ValueError("no image on the log meets all of these conditions")
        if here.images < everything.images:
            raise ValueError(
                f"{everything.images - here.images:,} of these {everything.images:,} images are no longer on"
                f" the log: {_kept_since(replays.first_upload(view, replay))}"
            )
    emit(settings, [replay])
    return replay, here


def change(settings: Settings, replay: Replay, state: State, *, by: str) -> None:
    """Bring a replay to a state. Raises ValueError where it cannot be; LogUnavailable."""
    if replay.state not in FROM[state]:
        raise ValueError(f"replay {replay.requested.replay_id} is {replay.state}: it cannot be {state}")
    changed = ReplayChanged(
        change_id=uuids.uuid7(),
        replay_id=replay.requested.replay_id,
        state=state,
        changed_by=by,
        changed_at=datetime.now(UTC),
    )
    emit(settings, [changed])


def named(found: list[Replay], text: str) -> Replay:
    """The replay whose id begins so. Raises ValueError where there is none, or more than one."""
    same = [replay for replay in found if str(replay.requested.replay_id).startswith(text)]
    if len(same) != 1:
        raise ValueError(
            f"{len(same) or 'no'} replays have an id that begins with {text}: see `circles replay list`"
        )
    return same[0]


async def _check_model(settings: Settings, replay: ReplayRequested) -> None:
    if settings.mode == "dummy":
        raise ValueError("MODE is dummy: there is no model with versions to replay through")
    async with KServeModel(for_version(settings, replay)) as model:
        if not await model.ready():
            raise ValueError(
                f"the model server has no {replay.model_name}:{replay.model_version}, or it is not ready:"
                f" {settings.model_server_url}/v2/models/{replay.model_name}"
            )


def _until_folded(settings: Settings, ends: Mapping[tuple[str, int], int]) -> None:
    until = time.monotonic() + FOLDED_S
    while True:
        with lake.catalog(settings) as catalog:
            folded = Ledger(catalog, lake.live(settings)).stored()
        behind = sum(max(0, end - folded.get(at, 0)) for at, end in ends.items())
        if not behind:
            return
        if time.monotonic() > until:
            raise ValueError(f"the view has {behind:,} uploads still to fold: is the materializer running?")
        time.sleep(0.1)


def _kept_since(first: datetime | None) -> str:
    return f"ask for those since {first.isoformat()}" if first else "it has none of them"
