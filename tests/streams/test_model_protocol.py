"""Which protocol the client speaks: V2 where the model's metadata has our tensors, V1 otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
import stamina

from streams.errors import InvalidModelAnswer, ModelRefuses, ModelUnavailable
from streams.kserve_v2 import JSON_LENGTH
from streams.model import Answer
from tests.streams.test_model import IMAGE, Reply, answers, model, prediction
from tests.streams.test_model_v2 import ROW, answer

METADATA = {
    "name": "circles",
    "versions": ["1"],
    "platform": "any",
    "inputs": [
        {"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
        {"name": "encoded", "datatype": "BYTES", "shape": [-1]},
    ],
    "outputs": [
        {"name": "circles", "datatype": "FP32", "shape": [-1, 11]},
        {"name": "counts", "datatype": "INT64", "shape": [-1]},
    ],
}
Server = Callable[[httpx.Request], httpx.Response]


class Both:
    """A server of both protocols that notes what it is asked."""

    def __init__(self, metadata: Reply | None = None) -> None:
        self.metadata: Reply = metadata or httpx.Response(200, json=METADATA)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if request.method == "GET":
            if isinstance(self.metadata, Exception):
                raise self.metadata
            return self.metadata
        if request.url.path.startswith("/v1/"):
            return answers(prediction(), **{"model-version": "7"})
        body, headers = answer(ROW)
        return httpx.Response(200, content=body, headers=headers)


def detect(server: Server, times: int = 1, **settings: Any) -> list[Answer]:
    async def run() -> list[Answer]:
        async with model(
            server, **{"model_protocol": "auto", "model_service_retries": 0} | settings
        ) as kserve:
            return [await kserve.detect(IMAGE) for _ in range(times)]

    with stamina.set_testing(True, attempts=100, cap=True):
        return asyncio.run(run())


def test_v2_is_spoken_where_it_is_there_and_asked_for_once() -> None:
    server = Both()
    found = detect(server, times=2)
    assert server.asked == ["GET /v2/models/circles", *["POST /v2/models/circles/infer"] * 2]
    assert [(one.model_name, one.model_version, len(one.circles)) for one in found] == [
        ("circles", "7", 1)
    ] * 2


def test_images_at_the_same_time_ask_once_too() -> None:
    server = Both()

    async def run() -> None:
        async with model(server, model_protocol="auto") as kserve:
            await asyncio.gather(*[kserve.detect(IMAGE) for _ in range(4)])

    asyncio.run(run())
    assert server.asked.count("GET /v2/models/circles") == 1


def test_a_version_asked_for_is_in_every_path() -> None:
    server = Both()
    (found,) = detect(server, model_version="3")
    assert server.asked == ["GET /v2/models/circles/versions/3", "POST /v2/models/circles/versions/3/infer"]
    assert found.model_version == "3"


def test_both_protocols_give_the_same_circles() -> None:
    (by_v1,), (by_v2,) = (detect(Both(), model_protocol=protocol) for protocol in ("v1", "v2"))
    assert by_v1.circles.tolist() == by_v2.circles.tolist()
    assert (by_v1.model_name, by_v1.model_version) == (by_v2.model_name, by_v2.model_version)


@pytest.mark.parametrize(
    "metadata",
    [
        httpx.Response(404), httpx.Response(405), httpx.Response(501), httpx.Response(200, text="<html>"),
        httpx.Response(200, json={}), httpx.Response(200, json=[1]), httpx.Response(200, content=b"\xff"),
        httpx.Response(200, json=METADATA | {"inputs": METADATA["inputs"][:1]}),
        httpx.Response(200, json=METADATA | {"outputs": [{"name": "circles", "datatype": "FP16"}]}),
        httpx.Response(200, json=METADATA | {"inputs": [{"name": ["encoded"], "datatype": {}}]}),
        httpx.Response(200, json=METADATA | {"inputs": [None]}),
        httpx.Response(200, content=bytes(17_000_000)),
    ],
    ids=[
        "404", "405", "501", "HTML", "empty", "a list", "no text", "no encoded", "half floats", "odd names",
        "a null", "huge",
    ],
)  # fmt: skip
def test_a_server_without_our_tensors_is_spoken_to_in_v1(metadata: httpx.Response) -> None:
    server = Both(metadata)
    assert [len(one.circles) for one in detect(server, times=2)] == [1, 1]
    assert server.asked[1:] == ["POST /v1/models/circles:predict"] * 2


@pytest.mark.parametrize(
    ("protocol", "path"), [("v1", "/v1/models/circles:predict"), ("v2", "/v2/models/circles/infer")]
)
def test_a_protocol_that_is_set_is_not_asked_about(protocol: str, path: str) -> None:
    server = Both()
    detect(server, model_protocol=protocol)
    assert server.asked == [f"POST {path}"]


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (httpx.ConnectError("refused"), ModelUnavailable), (httpx.Response(502), ModelUnavailable),
        (httpx.Response(503), ModelUnavailable), (httpx.Response(429), ModelRefuses),
        (httpx.Response(503, headers={"retry-after": "1"}), ModelRefuses),
    ],
    ids=repr,
)  # fmt: skip
def test_a_server_that_cannot_tell_now_is_asked_again_later(
    trouble: Reply, kind: type[ModelUnavailable]
) -> None:
    server = Both(trouble)
    with pytest.raises(ModelUnavailable) as raised:
        detect(server)
    assert type(raised.value) is kind
    assert server.asked == ["GET /v2/models/circles"]


def test_after_an_outage_the_server_may_be_another() -> None:
    new, old = Both(), Both(httpx.Response(404))
    asked: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        """Speaks V2, is away at the second image, and then an older one."""
        asked.append(f"{request.method} {request.url.path[:3]}")
        if len(asked) == 3:
            return httpx.Response(503)
        return (new if len(asked) < 3 else old)(request)

    assert len(detect(server, times=3, model_service_retries=1)) == 3
    assert asked == ["GET /v2", "POST /v2", "POST /v2", "GET /v2", "POST /v1", "POST /v1"]


def test_an_answer_that_is_nonsense_is_not_asked_for_again_in_v1() -> None:
    server = Both()

    def nonsense(request: httpx.Request) -> httpx.Response:
        response = server(request)
        return response if request.method == "GET" else httpx.Response(200, text="<html>")

    with pytest.raises(InvalidModelAnswer, match="it begins b'<html>'"):
        detect(nonsense, model_service_retries=3)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("protocol", "there", "ready"),
    [
        ("auto", "/v1/models/circles", True), ("auto", "/v2/models/circles/ready", True),
        ("auto", "/", False),
        ("v1", "/v2/models/circles/ready", False), ("v2", "/v2/models/circles/ready", True),
        ("v2", "/v1/models/circles", False),
    ],
)  # fmt: skip
def test_a_model_is_ready_where_it_can_be_asked(protocol: str, there: str, ready: bool) -> None:
    async def run() -> bool:
        def server(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200 if request.url.path == there else 404)

        async with model(server, model_protocol=protocol) as kserve:
            return await kserve.ready()

    assert asyncio.run(run()) is ready


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_versions_parameters_are_in_the_request_and_not_in_its_url(protocol: str) -> None:
    requests: list[httpx.Request] = []
    server = Both()

    def note(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return server(request)

    async def run() -> Answer:
        asked = "2+label=coin,min_radius=20,min_score=0.7"
        async with model(note, model_protocol=protocol, model_version=asked) as kserve:
            assert await kserve.ready()
            return await kserve.detect(IMAGE)

    assert asyncio.run(run()).model_version == "2+label=coin,min_radius=20,min_score=0.7"
    paths = {"v1": ("", ":predict"), "v2": ("/ready", "/infer")}[protocol]
    assert [request.url.path for request in requests] == [
        f"/{protocol}/models/circles/versions/2{path}" for path in paths
    ]
    body = requests[-1].content
    head = body[: int(requests[-1].headers[JSON_LENGTH])] if protocol == "v2" else body
    given = {"label": "coin", "min_radius": 20, "min_score": 0.7}
    assert orjson.loads(head)["parameters"] == given | (
        {"binary_data_output": True} if protocol == "v2" else {}
    )
