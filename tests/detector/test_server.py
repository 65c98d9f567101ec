"""Each answer of the model server, over ASGI."""

from __future__ import annotations

import asyncio
import base64
import io
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from detector import CIRCLE, Circles, models
from detector.models import Model
from detector.scenes import render
from detector.server import create_app

PREDICT = "/v1/models/circles:predict"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(max_body_bytes=1_000_000)) as client:
        yield client


@pytest.fixture(scope="module")
def picture() -> str:
    """A rendered scene as base64 of a JPEG."""
    file = io.BytesIO()
    Image.fromarray(render(3).image).save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()


def over_asgi(app: FastAPI) -> httpx.AsyncClient:
    """A client that streams bodies, which TestClient does not."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model")


def instances(encoded: str, **parameters: Any) -> dict[str, Any]:
    return {"instances": [{"image": {"b64": encoded}}], "parameters": parameters}


def test_predicts_in_the_form_of_the_contract(client: TestClient, picture: str) -> None:
    response = client.post(PREDICT, json=instances(picture, label="coin"))
    assert response.status_code == 200
    assert response.headers["model-version"] == "1"
    assert float(response.headers["prediction-time-latency"]) > 0
    predictions = response.json()["predictions"]
    assert len(predictions) == len(render(3).circles)
    for prediction in predictions:
        assert set(prediction) == {"bounding_box", "centroid", "radius", "label", "score"}
        box = prediction["bounding_box"]
        assert box["xmin"] < box["xmax"]
        assert box["ymin"] < box["ymax"]
        assert prediction["radius"]["radius"] > 0
        assert set(prediction["centroid"]) == {"x", "y"}
        assert prediction["label"] == "coin"
        assert all(math.isfinite(number) for number in (*box.values(), prediction["score"]))


def test_both_forms_and_both_paths_answer_alike(client: TestClient, picture: str) -> None:
    answers = [
        client.post(path, json=body).json()
        for path in (PREDICT, "/v1/models/circles/versions/1:predict")
        for body in (instances(picture), {"inputs": [{"data": picture}]})
    ]
    assert answers[0]["predictions"][0]["label"] == "circle"
    assert all(answer == answers[0] for answer in answers)


def test_dummy_answers_its_circle(client: TestClient, picture: str) -> None:
    response = client.post("/v1/models/dummy:predict", json=instances(picture))
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
    file = io.BytesIO()
    Image.new("RGB", (100, 100), "grey").save(file, "PNG")
    encoded = base64.b64encode(file.getvalue()).decode()
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
        ("GET", "/v1/models/squares", 404, "no model squares; there are circles:1, dummy:1"),
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
        ({"inputs": [{"data": ""}, {"data": ""}]}, 400, "several images: send one at a time"),
        ({"instances": [{}], "inputs": [{}]}, 400, "send either"),
        (instances("?not base64?"), 400, "the image is not base64"),
        (instances("?YWJj"), 400, "the image is not base64"),
        (instances("YWJj", label=7), 400, "parameters.label is not a string"),
        ({"inputs": [{"data": "YWJj"}], "parameters": 7}, 400, "parameters is not an object"),
        (instances(""), 422, "empty"),
        (instances(NOT_AN_IMAGE), 422, "not an image; send JPEG, PNG or WebP"),
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
        async with over_asgi(create_app(max_body_bytes=1_000_000)) as client:
            return await client.post(PREDICT, content=endless(), headers=headers)

    response = asyncio.run(send())
    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert sent == 1_100_000


def test_a_fault_in_a_model_is_told_without_its_inside(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_image: object) -> Circles:
        raise RuntimeError("secret")

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", broken),))
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        response = client.post(PREDICT, json=instances(picture))
    assert (response.status_code, response.json()) == (500, {"error": "internal error"})


def test_at_most_one_detection_per_core(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, at_once, most = threading.Lock(), 0, 0

    def slow(_image: object) -> Circles:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return np.empty(0, CIRCLE)

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", slow),))
    monkeypatch.setattr("os.cpu_count", lambda: 3)

    async def send_many() -> list[int]:
        async with over_asgi(create_app()) as client:
            calls = [client.post(PREDICT, json=instances(picture)) for _ in range(12)]
            return [response.status_code for response in await asyncio.gather(*calls)]

    assert asyncio.run(send_many()) == [200] * 12
    assert most == 3


def test_a_caller_that_gave_up_is_not_worked_for(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def record(image: object) -> Circles:
        calls.append(image)
        return np.empty(0, CIRCLE)

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", record),))
    body = orjson.dumps(instances(picture))
    events: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
    )
    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b"", "headers": []}

    async def receive() -> dict[str, Any]:
        return next(events)

    async def send(_message: object) -> None:
        """The answer of a connection that is gone."""

    asyncio.run(create_app()(scope, receive, send))
    assert next(events, None) is None
    assert calls == []
