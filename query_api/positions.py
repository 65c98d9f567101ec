"""Positions on the log: what an upload returns, and what a read may ask the view to have passed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Query

from query_api.errors import Problem
from query_api.waiting import Position, Waiting
from streams.topics import UPLOADED

HEADER = "Circles-Position"
MOST = 100
"""Positions in one `after`: of so many uploads at most, one a partition is enough."""
_POSITION = re.compile(r"(\d{1,9})-(\d{1,18})", re.ASCII)


def written(partition: int, offset: int) -> str:
    """A position as clients have it: `partition-offset` of an upload's event."""
    return f"{partition}-{offset}"


def read(text: str) -> Position:
    """The positions of a list with commas, the furthest of each partition. Raises Problem 400."""
    position: dict[int, int] = {}
    parts = text.split(",") if text else []
    for part in parts:
        match = _POSITION.fullmatch(part.strip())
        if not match or len(parts) > MOST:
            raise Problem(
                400, f"after is the {HEADER} of an upload, like 3-1207, or at most {MOST} of them with commas"
            )
        partition, offset = map(int, match.groups())
        position[partition] = max(offset, position.get(partition, 0))
    return position


def passing(waiting: Waiting, wait_s: float) -> Callable[[str], Awaitable[None]]:
    """A dependency of routes that read the view: with `after`, they answer once it has passed there."""

    async def after(
        after: Annotated[
            str,
            Query(
                description=f"answer only once the view has what was uploaded: the {HEADER} of the answer to"
                " an upload, or several with commas; 504 when that takes too long",
                examples=["3-1207"],
            ),
        ] = "",
    ) -> None:
        wanted = read(after)
        if not wanted:
            return
        missing = await waiting.passed(wanted, wait_s)
        if missing:
            lag = sum(missing.values())
            where = ", ".join(written(partition, wanted[partition]) for partition in missing)
            raise Problem(
                504,
                f"the view has not come to {where} in {wait_s:g} s: {lag} more messages of"
                f" {UPLOADED.name} have to be folded",
                {"Retry-After": "1"},
                lag=lag,
            )

    return after
