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
from tests.detector.held import Held, settled

INFER = "/v2/models/circles/infer"
WORK_S = 0.05


def slow(_image: object) -> Circles:
    time.sleep(WORK_S)
    return np.empty(0, CIRCLE)


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", slow),))


def at_once(app: Starlette, requests: int, rounds: int = 1) -> list[httpx.Response]:
    body, headers = raw(picture())

    async def all_of_them() -> list[httpx.Response]:
        async with over_asgi(app) as client:
            found = []
            for _ in range(rounds):
                asked = [client.post(INFER, content=body, headers=headers) for _ in range(requests)]
                found += await asyncio.gather(*asked)
        return found

    return asyncio.run(all_of_them())


def refused_and_answered(
    app: Starlette, model: Held, requests: int, refused: int
) -> tuple[list[httpx.Response], list[httpx.Response]]:
    """The first so many answers of requests at once, while the model has ended no call; and the others."""
    body, headers = raw(picture())

    async def all_of_them() -> tuple[list[httpx.Response], list[httpx.Response]]:
        async with over_asgi(app) as client:
            asked = [client.post(INFER, content=body, headers=headers) for _ in range(requests)]
            answers = asyncio.as_completed(asked)
            first = [await next(answers) for _ in range(refused)]
            model.go.release(requests)
            return first, [await each for each in answers]

    return asyncio.run(all_of_them())


def test_three_times_what_fits_is_answered_or_turned_away_at_once(model: Held) -> None:
    app = create_app(Limits(workers=2, waiting=4))
    refused, answered = refused_and_answered(app, model, 18, 12)  # those wait for no turn
    assert [response.status_code for response in answered] == [200] * 6
    for response in refused:
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "try again" in response.json()["error"]


def test_places_are_given_back() -> None:
    answers = at_once(create_app(Limits(workers=1, waiting=1)), 2, rounds=3)
    assert [response.status_code for response in answers] == [200] * 6


def test_a_full_queue_reads_no_body(model: Held) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"x"

    async def send() -> httpx.Response:
        content, headers = raw(picture())
        async with over_asgi(create_app(Limits(workers=1, waiting=1))) as client:
            there = [asyncio.create_task(client.post(INFER, content=content, headers=headers)) for _ in "ab"]
            await model.begins()
            await settled()
            turned_away = await client.post(INFER, content=body())
            model.go.release(2)
            assert [response.status_code for response in await asyncio.gather(*there)] == [200, 200]
            return turned_away

    assert asyncio.run(send()).status_code == 503
    assert read == 0


def test_waiting_bodies_are_bounded_together(model: Held) -> None:
    body, _ = raw(picture())
    limits = Limits(workers=1, waiting=10, queue_bytes=2 * len(body) + 10)
    refused, answered = refused_and_answered(create_app(limits), model, 5, 3)
    assert [response.status_code for response in refused] == [503] * 3
    assert [response.status_code for response in answered] == [200] * 2


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
        async with over_asgi(create_app(Limits(workers=1, waiting=0, body_timeout_s=1))) as client:
            late = await client.post(INFER, content=stalling())
            return [late, await client.post(INFER, content=content, headers=headers)]

    late, next_one = asyncio.run(send())
    assert (late.status_code, late.json()) == (408, {"error": "the body did not come within 1 s"})
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
    three = threading.Barrier(3, timeout=30)

    def counting(_image: object) -> Circles:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        three.wait()
        time.sleep(0.02)  # in which a fourth would come
        with lock:
            now -= 1
        return np.empty(0, CIRCLE)

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", counting),))
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert [response.status_code for response in at_once(create_app(), 12)] == [200] * 12
    assert most == 3


def test_a_core_is_free_only_when_its_thread_is() -> None:
    """A caller that is cancelled leaves its thread at work: its turn must not be another's before."""
    ended: list[str] = []
    begun, free = threading.Event(), threading.Event()

    def work(name: str) -> str:
        begun.set()
        assert free.wait(30)
        ended.append(name)
        return name

    async def turns() -> str:
        workers = Workers(Limits(workers=1))
        model = models.find("circles")

        async def take(doing: Callable[[], str]) -> str:
            async with workers.turn(model, USUAL):
                return await workers.run(model, doing)

        first = asyncio.create_task(take(partial(work, "first")))
        assert await asyncio.to_thread(begun.wait, 30)
        first.cancel()
        second = asyncio.create_task(take(partial(work, "second")))
        await asyncio.sleep(0.1)
        free.set()
        await second
        assert first.cancelled()
        workers.close()
        return second.result()

    assert asyncio.run(turns()) == "second"
    assert ended == ["first", "second"]
