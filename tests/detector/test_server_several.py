"""Several images in a request: they take the cores that are free, and others come between them."""

from __future__ import annotations

import asyncio
import threading

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from detector import CIRCLE, Circles, models
from detector.models import Model
from detector.server import create_app
from detector.serving.limits import Limits
from tests.detector.calls import over_asgi, raw
from tests.detector.held import Held, settled

INFER = "/v2/models/circles/infer"
BACKGROUND = {"priority": "u=7"}


def images(*numbers: int) -> tuple[bytes, dict[str, str]]:
    return raw(np.array([np.full((2, 2, 3), number, np.uint8) for number in numbers]))


def post(client: httpx.AsyncClient, *numbers: int, **headers: str) -> asyncio.Task[httpx.Response]:
    body, length = images(*numbers)
    return asyncio.create_task(client.post(INFER, content=body, headers=length | headers))


def counts(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return next(output["data"] for output in response.json()["outputs"] if output["name"] == "counts")


def test_they_are_worked_on_by_all_cores_and_answered_in_their_order(model: Held) -> None:
    async def run() -> list[int]:
        async with over_asgi(create_app(Limits(workers=2))) as client:
            asked = post(client, 3, 0, 2, 1)
            await model.begins()
            await model.begins()
            await asyncio.sleep(0.1)
            assert not model.called.acquire(blocking=False)
            model.go.release(4)
            return counts(await asked)

    assert asyncio.run(run()) == [3, 0, 2, 1]


def test_one_that_is_more_urgent_comes_between_them(model: Held) -> None:
    async def run() -> None:
        async with over_asgi(create_app(Limits(workers=1))) as client:
            several = post(client, 1, 2, 3, **BACKGROUND)
            await model.begins()
            live = post(client, 9)
            await settled()
            model.go.release(4)
            assert (counts(await live), counts(await several)) == ([9], [1, 2, 3])

    asyncio.run(run())
    assert model.seen == [1, 9, 2, 3]


def test_who_has_a_core_keeps_it_for_the_next_image_while_nobody_more_urgent_wants_it(model: Held) -> None:
    async def run() -> None:
        async with over_asgi(create_app(Limits(workers=1))) as client:
            several = post(client, 1, 2, 3, **BACKGROUND)
            await model.begins()
            other = post(client, 9, **BACKGROUND)
            await settled()
            model.go.release(4)
            assert (counts(await several), counts(await other)) == ([1, 2, 3], [9])

    asyncio.run(run())
    assert model.seen == [1, 2, 3, 9]


def test_equals_that_are_in_a_hurry_come_between_them(model: Held) -> None:
    async def run() -> None:
        async with over_asgi(create_app(Limits(workers=1))) as client:
            several = post(client, 1, 2, 3)
            await model.begins()
            other = post(client, 9)
            await settled()
            model.go.release(4)
            assert (counts(await several), counts(await other)) == ([1, 2, 3], [9])

    asyncio.run(run())
    assert model.seen == [1, 9, 2, 3]


def test_after_a_fault_none_of_the_others_is_begun(model: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    faulted = threading.Event()

    def faulty(image: NDArray[np.uint8]) -> Circles:
        if image.flat[0] == 2:
            faulted.set()
            raise RuntimeError("inside")
        return model.detect(image)

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", faulty),))

    async def run() -> int:
        transport = httpx.ASGITransport(create_app(Limits(workers=2)), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            several = post(client, 1, 2, 3, 4, 5)
            await model.begins()
            assert await asyncio.to_thread(faulted.wait, 30)
            await asyncio.sleep(0.2)
            model.go.release(5)
            return (await several).status_code

    assert asyncio.run(run()) == 500
    assert model.seen == [1]


def test_those_in_the_background_may_come_again_when_one_of_them_gets_no_turn(model: Held) -> None:
    async def run() -> tuple[httpx.Response, httpx.Response]:
        async with over_asgi(create_app(Limits(workers=1, background_wait_s=0.2))) as client:
            several = post(client, 1, 2, **BACKGROUND)
            await model.begins()
            live = post(client, 9)
            await settled()
            model.go.release()
            refused = await several
            model.go.release()
            return refused, await live

    refused, live = asyncio.run(run())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert counts(live) == [9]
    assert model.seen == [1, 9]


def test_a_fault_at_one_of_them_ends_the_request_and_leaves_the_server_whole(
    model: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(image: NDArray[np.uint8]) -> Circles:
        if image.flat[0] == 2:
            raise RuntimeError("inside")
        return np.ones(image.flat[0], CIRCLE)

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", faulty),))

    async def run() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(create_app(Limits(workers=2)), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            return await post(client, 1, 2, 3), await post(client, 1, 3)

    failed, after = asyncio.run(run())
    assert (failed.status_code, failed.json()) == (500, {"error": "internal error"})
    assert counts(after) == [1, 3]
