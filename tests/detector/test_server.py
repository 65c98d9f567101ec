"""Each answer of the model server, over ASGI."""

from __future__ import annotations

import asyncio
import base64
import math
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from starlette.testclient import TestClient

from detector import CIRCLE, Circles, models
from detector.models import Model
from detector.server import create_app
from detector.serving.limits import Limits
from detector.serving.service import ASK_AFTER_S
from tests.detector.calls import base64_png, instances, over_asgi, picture

PREDICT = "/v1/models/circles:predict"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Limits(max_body_bytes=1_000_000))) as client:
        yield client


@pytest.fixture(scope="module")
def encoded() -> str:
    return base64_png(picture())


def test_predicts_in_the_form_of_the_contract(client: TestClient, encoded: str) -> None:
    response = client.post(PREDICT, json=instances(encoded, label="coin"))
    assert response.status_code == 200
    assert response.headers["model-version"] == models.find("circles").version
    assert float(response.headers["prediction-time-latency"]) > 0
    predictions = response.json()["predictions"]
    assert len(predictions) == 1
    for prediction in predictions:
        assert set(prediction) == {"bounding_box", "centroid", "radius", "label", "score"}
        box = prediction["bounding_box"]
        assert box["xmin"] < box["xmax"]
        assert box["ymin"] < box["ymax"]
        assert prediction["radius"]["radius"] > 0
        assert set(prediction["centroid"]) == {"x", "y"}
        assert prediction["label"] == "coin"
        assert all(math.isfinite(number) for number in (*box.values(), prediction["score"]))


def test_several_images_are_answered_one_by_one(client: TestClient) -> None:
    images = [base64_png(image) for image in (picture(), np.zeros((50, 50, 3), np.uint8), picture(300, 200))]
    together = client.post(PREDICT, json=instances(*images, label="coin"))
    assert together.status_code == 200
    alone = [client.post(PREDICT, json=instances(one, label="coin")).json()["predictions"] for one in images]
    assert together.json()["predictions"] == alone
    assert [len(each) for each in alone] == [1, 0, 1]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, 1),
        ({"min_radius": 20, "max_radius": 20, "min_score": 1}, 1),
        ({"min_radius": 20.1}, 0),
        ({"max_radius": 19.9}, 0),
    ],
)
def test_circles_are_chosen_by_score_and_radius(
    client: TestClient, encoded: str, parameters: dict[str, float], found: int
) -> None:
    response = client.post("/v1/models/dummy:predict", json=instances(encoded, **parameters))
    assert len(response.json()["predictions"]) == found


def test_both_forms_and_both_paths_answer_alike(client: TestClient, encoded: str) -> None:
    answers = [
        client.post(path, json=body).json()
        for path in (PREDICT, f"/v1/models/circles/versions/{models.find('circles').version}:predict")
        for body in (instances(encoded), {"inputs": [{"data": encoded}]})
    ]
    assert answers[0]["predictions"][0]["label"] == "circle"
    assert all(answer == answers[0] for answer in answers)


def test_dummy_answers_its_circle(client: TestClient, encoded: str) -> None:
    response = client.post("/v1/models/dummy:predict", json=instances(encoded))
    assert response.json() == {
        "predictions": [
            {
                "bounding_box": {"xmin": 10, "ymin": 10, "xmax": 50, "ymax": 50},
                "centroid": {"x": 30, "y": 30},
                "radius": {"radius": 20},
                "label": "circle",
                "score": 1,
            }
        ]
    }


def test_no_circle_is_an_empty_answer(client: TestClient) -> None:
    encoded = base64_png(np.full((100, 100, 3), 128, np.uint8))
    assert client.post(PREDICT, json=instances(encoded)).json() == {"predictions": []}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", {"status": "alive"}),
        ("/v1/models", {"models": ["circles", "dummy"]}),
        ("/v1/models/circles", {"name": "circles", "ready": True}),
        ("/v1/models/dummy/versions/1", {"name": "dummy", "version": "1", "ready": True}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
    ],
)
def test_what_is_there(client: TestClient, path: str, answer: dict[str, Any]) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, answer)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/v1/models/squares", 404, "no model squares; there are circles:1"),
        ("GET", "/v1/models/circles/versions/9", 404, "no model circles:9"),
        ("POST", "/v1/models/squares:predict", 404, "no model squares"),
        ("POST", "/v1/models/circles/versions/9:predict", 404, "no model circles:9"),
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/v1/models/circles:predict", 404, "no model circles:predict"),
        ("POST", "/v1/models", 405, "Method Not Allowed"),
    ],
)
def test_what_is_not_there(client: TestClient, method: str, path: str, status: int, reason: str) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"].startswith(reason)


DISC = base64_png(picture())
NOT_AN_IMAGE = base64.b64encode(b"no picture").decode()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "the body is not JSON"),
        (b"{", 400, "the body is not JSON"),
        (b"\xff", 400, "the body is not JSON"),
        (b"[]", 400, "send {"),
        ({"instances": []}, 400, "send {"),
        ({"instances": [{"image": {"b64": 7}}]}, 400, "send {"),
        ({"instances": 7}, 400, "send {"),
        ({"inputs": ["", {"data": ""}]}, 400, "send {"),
        (instances(*["AAAA"] * 65), 400, "65 images in a request: send at most 64"),
        ({"instances": [{}], "inputs": [{}]}, 400, "send either"),
        (instances("?not base64?"), 400, "the image is not base64"),
        (instances("?YWJj"), 400, "the image is not base64"),
        (instances("YWJj", label=7), 400, "parameters.label is not a string"),
        (instances("YWJj", min_score=2), 400, "parameters.min_score is not a number from 0 to 1"),
        ({"inputs": [{"data": "YWJj"}], "parameters": 7}, 400, "parameters is not an object"),
        (instances(""), 422, "empty"),
        (instances(NOT_AN_IMAGE), 422, "not an image; send JPEG, PNG or WebP"),
        (instances(DISC, NOT_AN_IMAGE), 422, "image 1 of 0 to 1: not an image"),
        (instances("A" * 1_000_000), 413, "the body is larger than 1000000 bytes"),
    ],
)
def test_refusals(client: TestClient, body: Any, status: int, reason: str) -> None:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    response = client.post(PREDICT, content=content)
    assert response.status_code == status
    assert response.json()["error"].startswith(reason)


@pytest.mark.parametrize("headers", [{}, {"content-length": "10"}], ids=["no length", "false"])
def test_the_body_is_measured_as_it_comes(headers: dict[str, str]) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 100_000
            yield bytes(100_000)

    async def send() -> httpx.Response:
        async with over_asgi(create_app(Limits(max_body_bytes=1_000_000))) as client:
            return await client.post(PREDICT, content=endless(), headers=headers)

    response = asyncio.run(send())
    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert sent == 1_100_000


def test_a_fault_in_a_model_is_told_without_its_inside(encoded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_image: object) -> Circles:
        raise RuntimeError("secret")

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", broken),))
    client = TestClient(create_app(), raise_server_exceptions=False)
    response = client.post(PREDICT, json=instances(encoded))
    assert (response.status_code, response.json()) == (500, {"error": "internal error"})


def test_a_model_that_cannot_answer_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_image: object) -> Circles:
        raise FileNotFoundError("weights")

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", broken),))
    with pytest.raises(FileNotFoundError, match="weights"), TestClient(create_app()):
        pass


def test_a_caller_that_gave_up_while_waiting_is_not_worked_for(
    encoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    begun, free = threading.Event(), threading.Event()

    def record(image: object) -> Circles:
        calls.append(image)
        begun.set()
        free.wait(10)
        return np.empty(0, CIRCLE)

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", record),))
    app = create_app(Limits(workers=1, waiting=2))
    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b"", "headers": []}
    body: dict[str, Any] = {"type": "http.request", "body": orjson.dumps(instances(encoded))}

    async def asked(then: asyncio.Event) -> None:
        events: Iterator[dict[str, Any]] = iter([body])

        async def receive() -> dict[str, Any]:
            event = next(events, None)
            if event is None:
                await then.wait()
                return {"type": "http.disconnect"}
            return event

        async def send(_message: object) -> None:
            """The answer, to whoever is there."""

        await app(scope, receive, send)

    async def one_waits_for_the_other() -> None:
        there, gave_up = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(asked(there))
        assert await asyncio.to_thread(begun.wait, 10)
        second = asyncio.create_task(asked(gave_up))
        await asyncio.sleep(4 * ASK_AFTER_S)
        gave_up.set()
        free.set()
        await asyncio.gather(first, second)

    asyncio.run(one_waits_for_the_other())
    assert len(calls) == 1
