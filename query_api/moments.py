"""Of which moment a read is: once the view has passed a position on the log, or as it was in the past."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import Query, Request

from query_api import patterns
from query_api.access.caller import Caller, calling
from query_api.access.seal import Seal
from query_api.errors import Problem
from query_api.filters import in_utc
from query_api.stopping import Stopping
from query_api.view.reading import View
from query_api.view.waiting import Position, Waiting
from streams.topics import UPLOADED

HEADER = "Circles-Position"
MOST = 200
"""Positions in one `after`: of so many uploads at most, one a partition is enough."""
_POSITION = re.compile(r"(\d{1,9})-(\d{1,18})", re.ASCII)
_SNAPSHOT = re.compile(r"(?:(\w{1,60})\.)?(\d{1,18})", re.ASCII)


def written(partition: int, offset: int) -> str:
    """A position: `partition-offset` of an upload's event. Callers of one project have it sealed.

    Where circles were answered, the snapshot that they were seen in is behind it: `3-1207,lake_1.55`.
    """
    return f"{partition}-{offset}"


def read(text: str, seal: Seal, caller: Caller) -> Position:
    """The positions of a list with commas, the furthest of each partition. Raises Problem 400."""
    position: dict[int | str, int] = {}
    parts = text.split(",") if text else []
    for part in parts:
        opened = seal.open(part.strip(), caller)
        match = _POSITION.fullmatch(opened) or _SNAPSHOT.fullmatch(opened)
        if not match or not match[1] or len(parts) > MOST:
            raise Problem(
                400, f"after is the {HEADER} of an upload, like 3-1207, or at most {MOST} of them with commas"
            )
        at = match[1] if match.re is _SNAPSHOT else int(match[1])
        position[at] = max(int(match[2]), position.get(at, 0))
    return position


def moments(
    view: View, waiting: Waiting, seal: Seal, stopping: Stopping, wait_s: float
) -> Callable[..., Awaitable[int | None]]:
    """A dependency of routes that read the view: the snapshot to be read, None for the newest."""

    async def moment(
        request: Request,
        after: Annotated[
            str,
            Query(
                description=f"answer only once the view has what was uploaded: the {HEADER} of the answer to"
                " an upload, or several with commas; 504 when that takes too long",
                examples=["3-1207"],
                json_schema_extra={"pattern": patterns.OPAQUES},
            ),
        ] = "",
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
        if after:
            await passed(after, calling(request))
        return await past(as_of, calling(request)) if as_of else None

    async def passed(after: str, caller: Caller) -> None:
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
            where = ", ".join(
                written(at, wanted[at]) if isinstance(at, int) else f"{at}.{wanted[at]}" for at in missing
            )
            what = f"messages of {UPLOADED.name}" if any(isinstance(at, int) for at in missing) else "commits"
            raise Problem(
                504,
                f"the view has not come to {where} in {wait_s:g} s: {lag} more {what} have to be folded",
                {"Retry-After": "1"},
                lag=lag,
            )

    async def past(as_of: str, caller: Caller) -> int:
        # Snapshots count what all projects do; times do not.
        if caller.project is None and (match := _SNAPSHOT.fullmatch(as_of)):
            return await view.snapshot(match[1], int(match[2]))
        try:
            moment = in_utc(datetime.fromisoformat(as_of))
        except ValueError as error:
            raise Problem(
                400,
                "as_of is the snapshot of an answer like lake_1.1207, or a time like 2026-01-31T12:00:00Z",
            ) from error
        return await view.snapshot_at(moment)

    return moment
