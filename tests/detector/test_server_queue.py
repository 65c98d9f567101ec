"""Who waits, who is turned away, and who works."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette

from detector import CIRCLE, Circles, models
from detector.errors import Overloaded
from detector.models import Model
from detector.server import create_app
from detector.serving.limits import Limits
from detector.serving.queue import Queue
from detector.serving.workers import USUAL, Workers
from tests.detector.calls import over_asgi, picture, raw

INFER = "/v2/models/circles/infer"
WORK_S = 0.05


def slow(_image: object) -> Circles:
    time.sleep(WORK_S)
    return np.empty(0, CIRCLE)


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", slow),))


def at_once(app: Starlette, requests: int, rounds: int = 1) -> list[tuple[httpx.Response, float]]:
    """Answers, and the seconds each took."""
    body, headers = raw(picture())

    async def one(client: httpx.AsyncClient) -> tuple[httpx.Response, float]:
        began = time.perf_counter()
        response = await client.post(INFER, content=body, headers=headers)
        return response, time.perf_counter() - began

    async def all_of_them() -> list[tuple[httpx.Response, float]]:
        async with over_asgi(app) as client:
            found = [await asyncio.gather(*(one(client) for _ in range(requests))) for _ in range(rounds)]
        return [answer for answers in found for answer in answers]

    return asyncio.run(all_of_them())


def test_three_times_what_fits_is_answered_or_turned_away_at_once() -> None:
    limits = Limits(workers=2, waiting=4)
    answers = at_once(create_app(limits), 18)
    assert sorted(response.status_code for response, _ in answers) == [200] * 6 + [503] * 12
    slowest = max(took for response, took in answers if response.status_code == 200)
    for response, took_s in answers:
        if response.status_code == 503:
            assert response.headers["retry-after"] == "1"
            assert "try again" in response.json()["error"]
            assert took_s < slowest  # it waited for no turn, however busy the machine is


def test_places_are_given_back() -> None:
    answers = at_once(create_app(Limits(workers=1, waiting=1)), 2, rounds=3)
    assert [response.status_code for response, _ in answers] == [200] * 6


def test_a_full_queue_reads_no_body() -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"x"

    async def send() -> httpx.Response:
        content, headers = raw(picture())
        async with over_asgi(create_app(Limits(workers=1, waiting=1))) as client:
            there = [asyncio.create_task(client.post(INFER, content=content, headers=headers)) for _ in "ab"]
            await asyncio.sleep(WORK_S / 2)
            turned_away = await client.post(INFER, content=body())
            assert [response.status_code for response in await asyncio.gather(*there)] == [200, 200]
            return turned_away

    assert asyncio.run(send()).status_code == 503
    assert read == 0


def test_waiting_bodies_are_bounded_together() -> None:
    body, _ = raw(picture())
    limits = Limits(workers=1, waiting=10, queue_bytes=2 * len(body) + 10)
    statuses = [response.status_code for response, _ in at_once(create_app(limits), 5)]
    assert sorted(statuses) == [200, 200, 503, 503, 503]


def test_a_body_without_a_length_is_counted_as_it_comes() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)

    async def send() -> httpx.Response:
        async with over_asgi(create_app(Limits(queue_bytes=10_000))) as client:
            return await client.post(INFER, content=endless())

    assert asyncio.run(send()).status_code == 503


def test_a_body_that_does_not_come_loses_its_place() -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    async def send() -> list[httpx.Response]:
        content, headers = raw(picture())
        async with over_asgi(create_app(Limits(workers=1, waiting=0, body_timeout_s=0.1))) as client:
            late = await client.post(INFER, content=stalling())
            return [late, await client.post(INFER, content=content, headers=headers)]

    late, next_one = asyncio.run(send())
    assert (late.status_code, late.json()) == (408, {"error": "the body did not come within 0.1 s"})
    assert late.headers["connection"] == "close"
    assert next_one.status_code == 200


def test_a_place_counts_what_it_holds() -> None:
    queue = Queue(2, 100)
    with queue.place() as first, queue.place() as second:
        first.hold(60)
        second.hold(40)
        with pytest.raises(Overloaded, match="the bodies of 2 requests fill the queue"):
            second.hold(41)
        with pytest.raises(Overloaded, match="2 requests wait or are worked on"), queue.place():
            pass
        first.hold(10)
        second.hold(90)
        assert (queue.taken, queue.held_bytes) == (2, 100)
    assert (queue.taken, queue.held_bytes) == (0, 0)


def test_at_most_one_detection_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def counting(_image: object) -> Circles:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return np.empty(0, CIRCLE)

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", counting),))
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert [response.status_code for response, _ in at_once(create_app(), 12)] == [200] * 12
    assert most == 3


def test_a_core_is_free_only_when_its_thread_is() -> None:
    """A caller that is cancelled leaves its thread at work: its turn must not be another's before."""
    ended: list[str] = []

    def work(name: str, seconds: float) -> str:
        time.sleep(seconds)
        ended.append(name)
        return name

    async def turns() -> str:
        workers = Workers(Limits(workers=1))
        model = models.find("circles")

        async def take(doing: Callable[[], str]) -> str:
            async with workers.turn(model, USUAL):
                return await workers.run(model, doing)

        first = asyncio.create_task(take(partial(work, "first", 0.1)))
        await asyncio.sleep(0.02)
        first.cancel()
        second = await take(partial(work, "second", 0))
        assert first.cancelled()
        workers.close()
        return second

    assert asyncio.run(turns()) == "second"
    assert ended == ["first", "second"]
