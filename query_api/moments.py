"""Of which moment a read is: once the view has passed a position on the log, or as it was in the past."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request

from query_api import patterns
from query_api.access.caller import Caller, calling
from query_api.access.seal import Seal
from query_api.errors import Problem
from query_api.filters import in_utc, with_plus
from query_api.stopping import Stopping
from query_api.view.reading import View
from query_api.view.waiting import At, Position, Waiting
from streams.topics import ANNOTATED, UPLOADED, Topic

HEADER = "Circles-Position"
MOST = 200
"""Positions in one `after`: of so many uploads at most, one a partition is enough."""
_POSITION = re.compile(r"(?:(annotations)\.)?(\d{1,9})-(\d{1,18})", re.ASCII)
_SNAPSHOT = re.compile(r"(?:(\w{1,60})\.)?(\d{1,18})", re.ASCII)


def written(partition: int, offset: int, topic: Topic = UPLOADED) -> str:
    """A position: `partition-offset` of an upload's event, `annotations.partition-offset` of an annotation's.

    Callers of one project have it sealed. Where circles were answered, the snapshot that they were seen in is
    behind it: `3-1207,lake_1.55`.
    """
    return f"{partition}-{offset}" if topic is UPLOADED else f"annotations.{partition}-{offset}"


def read(text: str, seal: Seal, caller: Caller) -> Position:
    """The positions of a list with commas, the furthest of each partition. Raises Problem 400."""
    position: dict[At, int] = {}
    parts = text.split(",") if text else []
    for part in parts:
        place = _place(seal.open(part.strip(), caller))
        if not place or len(parts) > MOST:
            raise Problem(
                400, f"after is the {HEADER} of an upload, like 3-1207, or at most {MOST} of them with commas"
            )
        at, offset = place
        position[at] = max(offset, position.get(at, 0))
    return position


def _place(text: str) -> tuple[At, int] | None:
    if match := _POSITION.fullmatch(text):
        topic = ANNOTATED if match[1] else UPLOADED
        return (topic.name, int(match[2])), int(match[3])
    match = _SNAPSHOT.fullmatch(text)
    return (match[1], int(match[2])) if match and match[1] else None


def _as_written(at: At, offset: int) -> str:
    """A part of a position, as a client writes it."""
    if isinstance(at, str):
        return f"{at}.{offset}"
    return written(at[1], offset, ANNOTATED if at[0] == ANNOTATED.name else UPLOADED)


def afters(waiting: Waiting, seal: Seal, stopping: Stopping, wait_s: float) -> Callable[..., Awaitable[None]]:
    """A dependency of routes that answer only once the view has what their caller has sent before."""

    async def passed(
        request: Request,
        after: Annotated[
            str,
            Query(
                description=f"answer only once the view has what was sent: the {HEADER} of the answer to an"
                " upload or an annotation, or several with commas; 504 when that takes too long",
                examples=["3-1207"],
                json_schema_extra={"pattern": patterns.OPAQUES},
            ),
        ] = "",
    ) -> None:
        if not after:
            return
        caller = calling(request)
        wanted = read(after, seal, caller)
        try:
            async with stopping.cut():
                missing = await waiting.passed(wanted, wait_s)
        except TimeoutError as error:
            raise Problem(503, "try again soon: this process is stopping", {"Retry-After": "1"}) from error
        if missing and caller.project is not None:  # how many messages are missing counts others', too
            raise Problem(504, f"the view has not come to that in {wait_s:g} s", {"Retry-After": "1"})
        if missing:
            lag = sum(missing.values())
            where = ", ".join(_as_written(at, wanted[at]) for at in missing)
            topics = sorted({at[0] for at in missing if isinstance(at, tuple)}, reverse=True)
            what = f"messages of {' and '.join(topics)}" if topics else "commits"
            raise Problem(
                504,
                f"the view has not come to {where} in {wait_s:g} s: {lag} more {what} have to be folded",
                {"Retry-After": "1"},
                lag=lag,
            )

    return passed


def moments(view: View, passed: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[int | None]]:
    """A dependency of routes that read the view: the snapshot to be read, None for the newest.

    passed: the dependency that waits.
    """

    async def moment(
        request: Request,
        _: None = Depends(passed),
        as_of: Annotated[
            str,
            Query(
                max_length=100,
                description="as the view was: `snapshot` of an earlier answer, or a time (ISO 8601); 410 when"
                " it is not kept any more",
                examples=["2026-01-31T12:00:00Z"],
                json_schema_extra={"pattern": patterns.MOMENT},
            ),
        ] = "",
    ) -> int | None:
        return await past(as_of, calling(request)) if as_of else None

    async def past(as_of: str, caller: Caller) -> int:
        # Snapshots count what all projects do; times do not.
        if caller.project is None and (match := _SNAPSHOT.fullmatch(as_of)):
            return await view.snapshot(match[1], int(match[2]))
        try:
            moment = in_utc(datetime.fromisoformat(with_plus(as_of)))
        except ValueError as error:
            raise Problem(
                400,
                "as_of is the snapshot of an answer like lake_1.1207, or a time like 2026-01-31T12:00:00Z",
            ) from error
        return await view.snapshot_at(moment)

    return moment
