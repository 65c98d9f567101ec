"""Waiting: who is woken by what, and what a wait ends with when it comes to nothing."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from query_api.errors import ViewUnavailable
from query_api.view import waiting as module
from query_api.view.waiting import Position, Waiting
from streams.topics import UPLOADED

IMAGE, OTHER = UUID(int=1), UUID(int=2)
A, B = (UPLOADED.name, 1), (UPLOADED.name, 2)


async def soon() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_catalog_that_is_away_is_not_told_as_a_lag() -> None:
    with pytest.raises(ViewUnavailable, match="catalog does not answer"):
        asyncio.run(Waiting().passed({A: 1207}, 0.01))


def test_each_is_woken_by_its_own_image() -> None:
    async def run() -> None:
        waiting = Waiting()
        async with asyncio.TaskGroup() as group:
            mine = [group.create_task(waiting.detected(IMAGE, 60)) for _ in range(2)]
            others = group.create_task(waiting.detected(OTHER, 60))
            await soon()
            waiting.came({}, [IMAGE.bytes])
            await soon()
            assert [task.done() for task in (*mine, others)] == [True, True, False]
            waiting.came({}, failed=[OTHER.bytes])
        assert [task.result() for task in (*mine, others)] == [True, True, False]

    asyncio.run(run())


def test_what_came_before_anybody_waited_is_known_as_long_as_it_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    waiting = Waiting()
    waiting.came({}, [IMAGE.bytes])
    assert asyncio.run(waiting.detected(IMAGE, 0))
    waiting.came({}, [UUID(int=n).bytes for n in (7, 8)])
    assert not asyncio.run(waiting.detected(IMAGE, 0.01))


def test_a_position_is_waited_for_until_it_is_passed_in_every_partition() -> None:
    async def run() -> None:
        waiting = Waiting()
        waiting.came({A: 5})
        assert await waiting.passed({A: 4}, 0) == {}
        wait = asyncio.create_task(waiting.passed({A: 5, B: 0}, 60))
        steps: tuple[Position, ...] = ({A: 6}, {A: 6, B: 0})
        for folded in steps:
            await soon()
            waiting.came(folded)
            await soon()
            assert not wait.done()
        waiting.came({A: 6, B: 1})
        assert await wait == {}
        assert await waiting.passed({A: 7, B: 0}, 0.01) == {A: 2}

    asyncio.run(run())
