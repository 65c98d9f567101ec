"""Turns of uploads: so many at work, so many more that wait, and the next one is told at once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from query_api.errors import Problem
from query_api.turns import Turns


def test_beyond_the_places_an_upload_is_refused_at_once() -> None:
    turns = Turns(at_once=2, waiting=1)
    with ExitStack() as places:
        for _ in range(3):
            places.enter_context(turns.place())
        with pytest.raises(Problem, match="3 uploads are under way") as refused, turns.place():
            pass
    assert (refused.value.status, dict(refused.value.headers or {})) == (429, {"Retry-After": "1"})
    assert (turns.taken, turns.refused) == (0, 1)
    with turns.place():
        assert turns.taken == 1


def test_only_so_many_work_at_once_and_one_that_fails_or_is_cancelled_gives_its_turn_back() -> None:
    turns = Turns(at_once=2, waiting=8)
    most = working = 0

    async def one(number: int) -> None:
        nonlocal most, working
        with turns.place():
            async with turns.turn():
                working += 1
                most = max(most, working)
                try:
                    await asyncio.sleep(0.01 if number else 60)
                    if number % 2:
                        raise ValueError
                finally:
                    working -= 1

    async def all_of_them() -> list[BaseException | None]:
        tasks = [asyncio.create_task(one(number)) for number in range(10)]
        await asyncio.sleep(0.03)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    ends = asyncio.run(asyncio.wait_for(all_of_them(), 10))
    assert [type(end) for end in ends[:3]] == [asyncio.CancelledError, ValueError, type(None)]
    assert (most, working, turns.taken) == (2, 0, 0)
