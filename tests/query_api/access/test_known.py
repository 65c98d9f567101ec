"""What is kept for a moment: fetched no more often than it should be, and used no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import pytest

from query_api.access.known import Known, Unavailable


class Source:
    """A service whose mapping, and whose being there, the test decides."""

    def __init__(self) -> None:
        self.items: dict[str, int] = {"a": 1}
        self.away, self.fetches, self.takes_s = False, 0, 0.0

    async def fetch(self) -> Mapping[str, int]:
        self.fetches += 1
        items = dict(self.items)
        await asyncio.sleep(self.takes_s)
        if self.away:
            raise Unavailable("away")
        return items

    def known(self, fresh_s: float = 10, again_s: float = 0.02, stale_s: float = 100) -> Known[int]:
        return Known(self.fetch, fresh_s=fresh_s, again_s=again_s, stale_s=stale_s)


class Clock:
    """Time as it passes, and as much more as a test wants."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("query_api.access.known.time", clock)
    return clock


def test_what_is_fresh_is_not_fetched_again_and_what_has_gone_is_gone_soon(clock: Clock) -> None:
    async def run() -> None:
        source = Source()
        known = source.known()
        assert [await known.get("a") for _ in range(100)] == [1] * 100
        assert source.fetches == 1
        del source.items["a"]
        clock.passed += 11
        assert await known.get("a") is None

    asyncio.run(run())


def test_all_who_come_at_once_wait_for_one_fetch() -> None:
    async def run() -> None:
        source = Source()
        source.takes_s = 0.05
        known = source.known()
        assert await asyncio.gather(*(known.get("a") for _ in range(50))) == [1] * 50
        assert source.fetches == 1

    asyncio.run(run())


def test_unknown_names_cannot_make_it_fetch_more_often_than_it_may() -> None:
    async def run() -> None:
        source = Source()
        known = source.known(fresh_s=60, again_s=60)
        assert [await known.get(str(name)) for name in range(1000)] == [None] * 1000
        assert source.fetches == 1

    asyncio.run(run())


def test_a_new_name_is_found_although_all_others_are_fresh() -> None:
    async def run() -> None:
        source = Source()
        known = source.known(fresh_s=60)
        assert await known.get("b") is None
        source.items["b"] = 2
        assert await known.get("b") == 2

    asyncio.run(run())


def test_a_name_that_is_made_while_a_fetch_is_under_way_is_found() -> None:
    async def run() -> None:
        source = Source()
        source.takes_s = 0.05
        known = source.known(fresh_s=60)
        early = asyncio.create_task(known.get("b"))
        await asyncio.sleep(0.01)
        source.items["b"] = 2  # not in the answer that is on its way
        assert await known.get("b") == 2
        assert await early is None

    asyncio.run(run())


def test_while_the_source_is_away_the_known_go_on_for_so_long_and_the_unknown_do_not(clock: Clock) -> None:
    async def run() -> None:
        source = Source()
        known = source.known()
        assert await known.get("a") == 1
        source.away = True
        clock.passed += 11
        assert await known.get("a") == 1
        with pytest.raises(Unavailable):
            await known.get("b")
        clock.passed += 100
        with pytest.raises(Unavailable):
            await known.get("a")
        source.away = False
        clock.passed += 1
        assert await known.get("a") == 1

    asyncio.run(run())


def test_the_known_do_not_wait_for_a_source_that_hangs_twice(clock: Clock) -> None:
    async def run() -> None:
        source = Source()
        known = source.known(stale_s=60)
        assert await known.get("a") == 1
        source.away, source.takes_s = True, 0.1
        clock.passed += 11
        assert await known.get("a") == 1
        clock.passed += 1
        source.takes_s = 3600
        async with asyncio.timeout(30):
            assert [await known.get("a") for _ in range(10)] == [1] * 10
        await asyncio.sleep(0)
        assert source.fetches == 3  # it is under way

    asyncio.run(run())
