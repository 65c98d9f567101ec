"""Asking for a replay, and pausing, resuming or cancelling one: each is an event on the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import duckdb
import uuid_utils.compat as uuids

from streams import lake, live_view, partitions, progress, promotions, replays
from streams.ledger import Ledger
from streams.model import KServeModel
from streams.produce import emit
from streams.reevaluation import CALLS_AT_ONCE, ReplayChanged, ReplayRequested, State
from streams.replay_images import for_version
from streams.replays import Progress, Replay
from streams.settings import Settings
from streams.topics import UPLOADED
from streams.version import Version, parted

FOLDED_S = 30.0
"""For the view to come to what is on the log now."""
SEEN_S = 5.0
"""For what was asked to be in the view, so that who asks next finds it. On the log it is in any case."""
FROM: Mapping[State, frozenset[State]] = {
    "paused": frozenset({"running"}),
    "running": frozenset({"paused"}),
    "cancelled": frozenset({"running", "paused"}),
}
"""From which states a replay can be brought to another."""
DONE: Mapping[State, str] = {"paused": "paused", "running": "resumed", "cancelled": "cancelled"}


def request(
    settings: Settings, model: str, version: str, *, by: str, calls_at_once: int = CALLS_AT_ONCE, **asked: Any
) -> tuple[ReplayRequested, Progress]:
    """Put a replay on the log, and how far it is already. It ends with what is there now; one that is to
    follow begins there, or with what was uploaded since.

    asked: by the names in `replays.FILTERS`, and `follow`. Raises ValueError, with what would be right, where
    it could find nothing or not all; LogUnavailable, KafkaException, duckdb.Error.
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
    if not replay.follow or replay.since:  # it is about images that are there
        _until_folded(settings, {at: seen.ends[at] for at in uploads})
    with lake.connect(settings, read_only=True) as view:
        replay, here = (_following if replay.follow else _ending)(view, replay)
    live_view.seen(settings, emit(settings, [replay]), SEEN_S)
    return replay, here


def _ending(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> tuple[ReplayRequested, Progress]:
    """It is about what the log has now. Raises ValueError where that is nothing, or not all of its images."""
    here = _all_kept(view, replay)
    if not here.images:
        raise ValueError("no image on the log meets all of these conditions")
    return replay, here


def _all_kept(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> Progress:
    """How far it is. Raises ValueError where the log does not hold all of its images."""
    whole = replace(replay, begins=(0,) * len(replay.begins))
    everything, here = replays.progress(view, whole), replays.progress(view, replay)
    if here.images < everything.images:
        raise ValueError(
            f"{everything.images - here.images:,} of these {everything.images:,} images are no longer on"
            f" the log: {_kept_since(replays.first_upload(view, replay))}"
        )
    return here


def _following(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> tuple[ReplayRequested, Progress]:
    """It begins at the first image that it is to begin with, or with what comes. Raises ValueError."""
    version = Version(replay.model_name, replay.model_version)
    if version == promotions.current(view):
        raise ValueError(f"{version} is the current one: it detects what is uploaded without a replay")
    for other in replays.find(view):
        if other.state in FROM["cancelled"] and other.version == str(version) and _overlap(other, replay):
            raise ValueError(
                f"replay {other.requested.replay_id} follows for {version} already, and the model would be"
                " asked twice: cancel it first"
            )
    first: dict[int, int] = {}
    if replay.since:
        _all_kept(view, replay)
        first = replays.backlog(view, replay)
    replay = replace(replay, begins=tuple(first.get(p, end) for p, end in enumerate(replay.ends)))
    return replay, Progress(0, 0, 0, sum(replay.ends) - sum(replay.begins))


def _overlap(other: Replay, replay: ReplayRequested) -> bool:
    """Whether both follow, and an image may be one of both."""
    theirs = other.requested
    return theirs.follow and all(
        None in (a, b) or a == b
        for a, b in ((theirs.source_id, replay.source_id), (theirs.project_id, replay.project_id))
    )


def change(settings: Settings, replay: Replay, state: State, *, by: str) -> State:
    """Bring a replay to a state, which is returned: one that follows is finished where it is cancelled.

    Raises ValueError where it cannot be; LogUnavailable.
    """
    if replay.state not in FROM[state]:
        raise ValueError(f"replay {replay.requested.replay_id} is {replay.state}: it cannot be {DONE[state]}")
    if state == "cancelled" and replay.requested.follow:
        state = "finished"  # it has no other end, and nothing of it is cut off
    changed = ReplayChanged(
        change_id=uuids.uuid7(),
        replay_id=replay.requested.replay_id,
        state=state,
        changed_by=by,
        changed_at=datetime.now(UTC),
    )
    live_view.seen(settings, emit(settings, [changed]), SEEN_S)
    return state


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
                f"the model server has no {replay.model_name}:{parted(replay.model_version)[0]}, or it is not"
                f" ready: {lake.without_password(settings.model_server_url)}/v2/models/{replay.model_name}"
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
