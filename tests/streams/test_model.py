"""The KServe client: what it asks in V1, what it makes of answers, and how long it tries."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import orjson
import pytest
import stamina

from streams.errors import InvalidModelAnswer, MissingSetting, ModelUnavailable
from streams.model import MAX_ANSWER_BYTES, Answer, DummyModel, KServeModel
from streams.settings import Settings

IMAGE = b"\xff\xd8 the bytes of an image"
Reply = httpx.Response | Exception


def prediction(score: float = 0.5, **more: Any) -> dict[str, Any]:
    return {
        "bounding_box": {"xmin": 10, "ymin": 20.5, "xmax": 50, "ymax": 60.5},
        "centroid": {"x": 30, "y": 40.5},
        "radius": {"radius": 20},
        "label": "coin",
        "score": score,
    } | more


def answers(*predictions: dict[str, Any], **headers: str) -> httpx.Response:
    return httpx.Response(200, json={"predictions": predictions}, headers=headers)


def model(handler: Callable[[httpx.Request], Any], **settings: Any) -> KServeModel:
    """A client that speaks V1 unless `settings` say otherwise, to a server that is a function."""
    chosen = {"model_server_url": "http://model", "model_protocol": "v1"} | settings
    return KServeModel(Settings(**chosen), httpx.MockTransport(handler))


def detect(replies: Sequence[Reply], retries: int = 0, **settings: Any) -> tuple[Answer, list[httpx.Request]]:
    """The answer and the requests when the server gives `replies`, the last again and again."""
    asked: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        now = replies[min(len(asked), len(replies) - 1)]
        asked.append(request)
        if isinstance(now, Exception):
            raise now
        return now

    async def run() -> Answer:
        async with model(reply, model_service_retries=retries, **settings) as kserve:
            return await kserve.detect(IMAGE)

    with stamina.set_testing(True, attempts=100, cap=True):  # no waits; the configured attempts
        return asyncio.run(run()), asked


def test_the_request_is_that_of_the_contract() -> None:
    _, (request,) = detect([answers()], model_name="coins", model_label="coin")
    assert (request.method, str(request.url)) == ("POST", "http://model/v1/models/coins:predict")
    assert request.headers["content-type"] == "application/json"
    assert "priority" not in request.headers
    assert orjson.loads(request.content) == {
        "instances": [{"image": {"b64": base64.b64encode(IMAGE).decode()}}],
        "parameters": {"label": "coin"},
    }


def test_the_contracts_answer_is_circles_by_score() -> None:
    answer, _ = detect([answers(prediction(0.25), prediction(0.75, radius={"radius": 1}), prediction(0.5))])
    assert answer.circles["score"].tolist() == [0.75, 0.5, 0.25]
    assert answer.circles["radius"].tolist() == [1, 20, 20]
    assert answer.circles[1].tolist() == (bytes(16), 30, 40.5, 20, 0.5, 10, 20.5, 50, 60.5)


def test_circles_of_one_score_stay_in_the_models_order() -> None:
    answer, _ = detect([answers(*[prediction(radius={"radius": n}) for n in range(1, 6)])])
    assert answer.circles["radius"].tolist() == [1, 2, 3, 4, 5]


def test_no_circles_is_an_answer() -> None:
    answer, _ = detect([answers()])
    assert len(answer.circles) == 0


def test_a_circle_without_a_score_is_certain() -> None:
    only = prediction()
    del only["score"]
    answer, _ = detect([answers(only)])
    assert answer.circles["score"].tolist() == [1]


@pytest.mark.parametrize(
    ("settings", "headers", "path", "version"),
    [
        ({}, {}, "/v1/models/circles:predict", "unversioned"),
        ({}, {"model-version": "7"}, "/v1/models/circles:predict", "7"),
        ({"model_version": "3"}, {"model-version": "7"}, "/v1/models/circles/versions/3:predict", "3"),
    ],
    ids=["unknown", "from the header", "asked for"],
)
def test_the_answer_names_its_model(
    settings: dict[str, Any], headers: dict[str, str], path: str, version: str
) -> None:
    answer, (request,) = detect([answers(**headers)], **settings)
    assert request.url.path == path
    assert (answer.model_name, answer.model_version) == ("circles", version)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_an_image_that_the_server_refuses_is_not_asked_for_again(status: int) -> None:
    calls: list[int] = []

    def refuse(_: httpx.Request) -> httpx.Response:
        calls.append(status)
        return httpx.Response(status, text="no image")

    async def run() -> None:
        async with model(refuse, model_service_retries=3) as kserve:
            await kserve.detect(IMAGE)

    with pytest.raises(InvalidModelAnswer, match=f"answered {status}: no image"):
        asyncio.run(run())
    assert calls == [status]


@pytest.mark.parametrize(
    "trouble",
    [
        *(httpx.Response(status) for status in (404, 408, 425, 429, 500, 502, 503, 504)),
        httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut off"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_server_that_cannot_serve_now_is_asked_as_often_as_set_and_then_unavailable(trouble: Reply) -> None:
    answer, asked = detect([trouble, trouble, answers(prediction())], retries=2)
    assert (len(answer.circles), len(asked)) == (1, 3)
    calls: list[Reply] = []

    def fail(_: httpx.Request) -> httpx.Response:
        calls.append(trouble)
        if isinstance(trouble, Exception):
            raise trouble
        return trouble

    async def run() -> None:
        async with model(fail, model_service_retries=2) as kserve:
            await kserve.detect(IMAGE)

    with stamina.set_testing(True, attempts=100, cap=True), pytest.raises(ModelUnavailable):
        asyncio.run(run())
    assert len(calls) == 3


def test_a_server_that_hangs_is_given_up_within_the_time_for_one_image() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError("unreachable")

    async def run() -> None:
        async with model(hang, model_service_timeout=0.2, model_service_retries=20) as kserve:
            with pytest.raises(ModelUnavailable, match=r"no answer within 0\.2 s"):
                await asyncio.wait_for(kserve.detect(IMAGE), 30)

    asyncio.run(run())


def test_retries_end_with_the_time_for_one_image_too() -> None:
    async def run() -> None:
        async with model(
            lambda _: httpx.Response(503), model_service_timeout=0.3, model_service_retries=20
        ) as kserve:
            with pytest.raises(ModelUnavailable):
                await asyncio.wait_for(kserve.detect(IMAGE), 10)  # 20 waits would be 30 s

    asyncio.run(run())


def test_an_answer_over_the_limit_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 1_000_000
            yield bytes(1_000_000)

    with pytest.raises(InvalidModelAnswer, match=f"larger than {MAX_ANSWER_BYTES} bytes"):
        detect([httpx.Response(200, content=endless())])
    assert sent <= MAX_ANSWER_BYTES + 2_000_000


@pytest.mark.parametrize(
    ("reply", "ready"),
    [
        (httpx.Response(200, text="not looked at"), True), (httpx.Response(503), False),
        (httpx.Response(404), False), (httpx.ConnectError("refused"), False),
        (httpx.ReadTimeout("slow"), False),
    ],
    ids=repr,
)  # fmt: skip
def test_a_model_is_ready_when_its_server_answers_200_for_it(reply: Reply, ready: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("GET", "/v1/models/circles/versions/2")
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def run() -> bool:
        async with model(answer, model_version="2") as kserve:
            return await kserve.ready()

    assert asyncio.run(run()) is ready


def test_a_real_model_needs_its_servers_address() -> None:
    with pytest.raises(MissingSetting, match="MODEL_SERVER_URL is not set"):
        KServeModel(Settings(model_server_url=""))


def test_the_dummy_gives_the_contracts_circle() -> None:
    answer = asyncio.run(DummyModel().detect(IMAGE))
    assert answer.circles.tolist() == [(bytes(16), 30, 30, 20, 1, 10, 10, 50, 50)]
    assert asyncio.run(DummyModel().ready())
