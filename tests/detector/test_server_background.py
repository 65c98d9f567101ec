"""Requests of no urgency wait for all others, and take none of their places."""

from __future__ import annotations

import asyncio
import time
from random import Random

import httpx
import pytest

from detector.server import create_app
from detector.serving.limits import Limits
from detector.serving.service import urgency_of
from detector.serving.workers import REST, USUAL, Turns
from tests.detector.calls import over_asgi, picture, raw
from tests.detector.held import Held, settled

INFER = "/v2/models/circles/infer"
BACKGROUND = {"priority": "u=7"}


def test_who_is_not_urgent_waits_for_all_others(model: Held) -> None:
    ended: list[str] = []

    async def run() -> None:
        body, headers = raw(picture())
        async with over_asgi(create_app(Limits(workers=1, waiting=2, background=4))) as client:

            async def ask(name: str, more: dict[str, str]) -> None:
                answer = await client.post(INFER, content=body, headers=headers | more)
                assert answer.status_code == 200, answer.text
                ended.append(name)

            async with asyncio.TaskGroup() as group:
                for name in ("first", "second", "third", "fourth"):  # more than others may wait
                    group.create_task(ask(name, BACKGROUND))
                    await settled()
                await model.begins()
                for name in ("live", "live again", "and again"):
                    group.create_task(ask(name, {}))
                    await settled()
                await settled()
                model.go.release(7)

    asyncio.run(run())
    assert ended == ["first", "live", "live again", "and again", "second", "third", "fourth"]


def test_one_turn_is_left_for_others_while_there_are_any(
    model: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.serving.workers.OTHERS_S", 0)

    async def run() -> None:
        body, headers = raw(picture())
        async with over_asgi(create_app(Limits(workers=2))) as client:
            live = asyncio.create_task(client.post(INFER, content=body, headers=headers))
            await model.begins()
            more = [client.post(INFER, content=body, headers=headers | BACKGROUND) for _ in range(2)]
            waiting = [asyncio.create_task(each) for each in more]
            await asyncio.sleep(0.1)
            assert not model.called.acquire(blocking=False)
            model.go.release()
            assert (await live).status_code == 200
            await model.begins()
            await model.begins()  # both at once: nobody else is there
            model.go.release(2)
            assert [(await each).status_code for each in waiting] == [200, 200]

    asyncio.run(run())


def test_those_beyond_their_places_and_those_whose_turn_does_not_come_may_come_again(model: Held) -> None:
    limits = Limits(workers=1, background=2, background_wait_s=1)

    async def run() -> tuple[list[httpx.Response], httpx.Response]:
        body, headers = raw(picture())
        async with over_asgi(create_app(limits)) as client:
            live = asyncio.create_task(client.post(INFER, content=body, headers=headers))
            await model.begins()
            waiting = [client.post(INFER, content=body, headers=headers | BACKGROUND) for _ in range(3)]
            refused = await asyncio.gather(*waiting)
            model.go.release()
            return refused, await live

    refused, live = asyncio.run(run())
    assert live.status_code == 200
    said = sorted(answer.json()["error"] for answer in refused)
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
    assert said[0].startswith("2 requests wait")
    assert said[1:] == ["more urgent requests take all turns; try again"] * 2


@pytest.mark.parametrize("count", [1, 2])
def test_they_pause_between_two_while_others_are_expected(count: int) -> None:
    async def run() -> tuple[float, float, float]:
        turns, began = Turns(count), time.monotonic()
        times: list[float] = []

        async def one(urgency: int, takes_s: float) -> None:
            async with turns.turn(urgency):
                times.append(time.monotonic() - began)
                await asyncio.sleep(takes_s)

        await one(USUAL, 0)
        background = [asyncio.create_task(one(7, 0.1)) for _ in range(2)]
        await asyncio.wait(background, return_when=asyncio.FIRST_COMPLETED)
        await one(USUAL, 0)  # who is not in the background does not wait for it
        await asyncio.gather(*background)
        return times[1], times[2], times[3]

    first, live, second = asyncio.run(run())
    assert first + 0.1 <= live < second
    assert second - first >= 0.1 + REST * 0.1


def test_they_go_on_at_once_when_nobody_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> float:
        turns, began = Turns(2), time.monotonic()
        async with turns.turn(USUAL):
            pass
        async with turns.turn(7):
            waits = asyncio.create_task(turns.turn(7).__aenter__())
            await asyncio.wait_for(waits, 5)
        return time.monotonic() - began

    monkeypatch.setattr("detector.serving.workers.OTHERS_S", 0.2)
    assert asyncio.run(run()) >= 0.2


@pytest.mark.parametrize(
    ("priority", "urgency"),
    [
        ("", 3),
        ("u=7", 7),
        ("i, u=5", 5),
        ("u=4;x, i", 4),
        ("u=0", USUAL),
        ("u=8", 3),
        ("u=77", 3),
        ("menu=7", 3),
    ],
)
def test_what_a_header_says(priority: str, urgency: int) -> None:
    assert urgency_of(priority) == urgency


def test_no_turn_is_lost_when_those_who_wait_give_up() -> None:
    """Many come and go at random moments; in the end all turns are free, and never were there more."""
    now, most = 0, 0

    async def one(turns: Turns, chance: Random) -> None:
        nonlocal now, most
        async with turns.turn(chance.choice([3, 7])):
            now += 1
            most = max(most, now)
            try:
                await asyncio.sleep(chance.choice([0, 0, 0.001]))
            finally:
                now -= 1

    async def run(seed: int) -> int:
        chance, turns = Random(seed), Turns(2)
        tasks = [asyncio.create_task(one(turns, chance)) for _ in range(50)]
        for task in chance.sample(tasks, 30):
            await asyncio.sleep(chance.choice([0, 0, 0.0005]))
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5), turns.turn(7), turns.turn(7):
            return most

    assert {asyncio.run(run(seed)) for seed in range(30)} == {2}
