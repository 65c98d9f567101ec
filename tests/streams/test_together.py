"""Images of many callers in one request: who gets which answer, how many there are, and what fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import httpx
import orjson
import pytest
import stamina

from streams.errors import InvalidModelAnswer, ModelUnavailable
from streams.gate import Stopping
from streams.kserve_v2 import JSON_LENGTH
from streams.model import Answer
from streams.together import MOST_IMAGES, Together
from tests.streams.test_model import model
from tests.streams.test_model_protocol import METADATA, Both
from tests.streams.test_model_v2 import row, several

Respond = Callable[[list[bytes]], Awaitable[httpx.Response]]


class Server:
    """Speaks V2; finds in an image a circle at the x that its first byte says, at each of its bytes."""

    def __init__(self, respond: Respond | None = None) -> None:
        self.asked: list[list[bytes]] = []
        self.now = self.most_at_once = 0
        self.respond = respond or circles_of

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=METADATA)
        images = images_of(request)
        self.asked.append(images)
        self.now += len(images)
        self.most_at_once = max(self.most_at_once, self.now)
        await asyncio.sleep(0.002)
        self.now -= len(images)
        return await self.respond(images)


def images_of(request: httpx.Request) -> list[bytes]:
    data = request.content[int(request.headers[JSON_LENGTH]) :]
    found = []
    while data:
        size = 4 + int.from_bytes(data[:4], "little")
        found.append(data[4:size])
        data = data[size:]
    (encoded,) = orjson.loads(request.content[: int(request.headers[JSON_LENGTH])])["inputs"]
    assert encoded["shape"] == [len(found)]
    return found


async def circles_of(images: list[bytes]) -> httpx.Response:
    circles = [row(x=image[0]) for image in images for _ in image]
    body, headers = several(*map(len, images), circles=circles)
    return httpx.Response(200, content=body, headers=headers)


def ask(
    server: Callable[[httpx.Request], Awaitable[httpx.Response]], images: Sequence[bytes], at_once: int
) -> list[Answer | BaseException]:
    async def run() -> list[Answer | BaseException]:
        async with model(server, model_protocol="auto", model_service_retries=0) as kserve:
            together = Together(kserve, at_once, lambda: False)
            return await asyncio.gather(*map(together.detect, images), return_exceptions=True)

    with stamina.set_testing(True, attempts=100, cap=True):
        return asyncio.run(run())


def seen(answers: Sequence[Answer | BaseException]) -> list[list[float] | type]:
    return [a.circles["x"].tolist() if isinstance(a, Answer) else type(a) for a in answers]


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (2, 1), (3, 1), (8, 4), (16, 8), (32, MOST_IMAGES)])
def test_each_gets_its_own_and_no_more_are_under_way_than_may(
    at_once: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.together.SLOWEST_S", 60)
    server = Server()
    images = [bytes([n]) * (n % 3) or bytes([n, n, n]) for n in range(250)]
    answers = ask(server, images, at_once)
    assert seen(answers) == [[n] * (n % 3 or 3) for n in range(250)]
    assert max(map(len, server.asked)) == most
    assert server.most_at_once <= at_once
    assert len(server.asked) < 250 / most + 2 * at_once


def test_a_server_that_takes_one_image_is_asked_about_one() -> None:
    server = Both(httpx.Response(404))

    async def of_both(request: httpx.Request) -> httpx.Response:
        return server(request)

    answers = ask(of_both, [b"a"] * 20, 8)
    assert [len(a.circles) for a in answers if isinstance(a, Answer)] == [1] * 20
    assert server.asked[1:] == ["POST /v1/models/circles:predict"] * 20


def test_a_slow_server_is_asked_about_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.together.SLOWEST_S", 0.003)  # of which one image takes more than a half
    server = Server()
    ask(server, [b"a"] * 40, 8)
    assert max(map(len, server.asked)) == 1
    assert server.most_at_once > 4


def test_large_images_are_not_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.together.SLOWEST_S", 60)
    monkeypatch.setattr("streams.together.MOST_BYTES", 100)
    server = Server()
    ask(server, [b"a", bytes(95), b"b" * 5, b"c" * 200] * 12, 8)
    together = [sum(map(len, images)) for images in server.asked if len(images) > 1]
    assert 5 < max(together) <= 100


def test_an_image_that_the_model_cannot_answer_costs_no_other_its_answer() -> None:
    async def refusing(images: list[bytes]) -> httpx.Response:
        return httpx.Response(400, json={"error": "none"}) if b"\7" in images else await circles_of(images)

    server = Server(refusing)
    answers = ask(server, [bytes([n]) for n in range(40)], 16)
    assert seen(answers) == [InvalidModelAnswer if n == 7 else [n] for n in range(40)]


def test_a_server_that_is_away_is_so_for_all_of_a_request() -> None:
    async def away(images: list[bytes]) -> httpx.Response:
        return httpx.Response(503) if len(images) > 1 else await circles_of(images)

    answers = seen(ask(Server(away), [bytes([n]) for n in range(40)], 16))
    assert {ModelUnavailable} == {a for a in answers if isinstance(a, type)}


def test_who_gives_up_keeps_nobody_else_from_an_answer() -> None:
    async def run() -> list[Answer]:
        async with model(Server(), model_protocol="auto") as kserve:
            together = Together(kserve, 8, lambda: False)
            tasks = [asyncio.create_task(together.detect(bytes([n]))) for n in range(60)]
            await asyncio.sleep(0.004)
            for task in tasks[::2]:
                task.cancel()
            return await asyncio.gather(*tasks[1::2])

    assert seen(asyncio.run(run())) == [[n] for n in range(1, 60, 2)]


def test_those_that_wait_when_it_stops_are_given_up_and_those_under_way_answered() -> None:
    stop = asyncio.Event()

    async def run() -> list[Answer | BaseException]:
        async with model(Server(), model_protocol="auto") as kserve:
            together = Together(kserve, 4, stop.is_set)
            tasks = [asyncio.create_task(together.detect(bytes([n]))) for n in range(20)]
            await asyncio.sleep(0)
            stop.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    assert seen(asyncio.run(run())) == [[0], [1], [2], [3], *[Stopping] * 16]
