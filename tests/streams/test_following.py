"""Where a replay that follows is on a partition: up to its first image that is not done, and no further."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from streams.following import Lane
from streams.replay_progress import Reached


def begun(lane: Lane, offset: int, outcome: Coroutine[Any, Any, bool | None]) -> asyncio.Task[bool | None]:
    task = asyncio.create_task(outcome)
    lane.working.append((offset, task))
    lane.at = offset + 1
    return task


async def after(event: asyncio.Event, outcome: bool | None) -> bool | None:
    await event.wait()
    return outcome


def test_what_is_done_out_of_order_waits_for_what_is_before_it() -> None:
    async def run() -> None:
        lane, first, second = Lane(10, 5, 1), asyncio.Event(), asyncio.Event()
        assert lane.now() == (10, 5, 1)
        slow = begun(lane, 12, after(first, True))
        quick = begun(lane, 15, after(second, False))
        lane.at = 20
        second.set()
        await quick
        assert lane.now() == Reached(12, 5, 1)
        first.set()
        await slow
        assert lane.now() == Reached(20, 6, 2)

    asyncio.run(run())


def test_an_image_that_was_given_up_is_not_passed() -> None:
    async def run() -> None:
        lane, told = Lane(0, 0, 0), asyncio.Event()
        told.set()
        await asyncio.gather(
            begun(lane, 3, after(told, True)),
            begun(lane, 4, after(told, None)),
            begun(lane, 5, after(told, True)),
        )
        assert lane.now() == lane.now() == Reached(4, 1, 0)

    asyncio.run(run())


def test_what_an_image_failed_with_is_raised_and_nothing_behind_it_counts() -> None:
    async def fail() -> bool | None:
        raise OSError("the log is away")

    async def run() -> None:
        lane, told = Lane(0, 0, 0), asyncio.Event()
        told.set()
        tasks = [begun(lane, 3, fail()), begun(lane, 4, after(told, True))]
        await asyncio.wait(tasks)
        for _ in range(2):
            with pytest.raises(OSError, match="the log is away"):
                lane.now()
        assert lane.detected == 0

    asyncio.run(run())
