"""Whatever is sent is answered, and never with an error of the server's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from detector.errors import InvalidImage, InvalidRequest
from detector.models import find
from detector.server import create_app
from detector.serving import grpc_predict_v2_pb2 as pb
from detector.serving import grpc_v2
from detector.serving.inference import infer, together
from detector.serving.limits import Limits
from tests.detector.calls import JSON_LENGTH, base64_png, picture, png, prefixed

FAST = settings(max_examples=150, suppress_health_check=list(HealthCheck))
FILE = png(picture(40, 30))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-2, 300),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["image", "encoded", "circles", "counts", "UINT8", "BYTES", base64_png(picture(40, 30))]),
)
MEMBERS = """inputs instances image b64 data name shape datatype outputs id parameters binary_data_size
binary_data binary_data_output label min_score min_radius max_radius"""
names = st.sampled_from(MEMBERS.split())
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(names, v, max_size=4), max_leaves=12
)
parameters = st.dictionaries(names, scalars, max_size=4)
sizes = st.one_of(st.integers(1, 6), st.integers(-3, 2**64 - 1), st.just(3), scalars)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """An input that is nearly right: its JSON, and the bytes behind it."""
    shape: list[Any] = draw(st.lists(sizes, max_size=5))
    data = draw(st.one_of(st.binary(max_size=200), st.just(FILE), st.just(prefixed(FILE, FILE))))
    if draw(st.booleans()):
        shape, data = draw(
            st.sampled_from([([2, 2, 3], bytes(12)), ([1, 4], bytes(4)), ([2], prefixed(FILE, FILE))])
        )
    tensor: dict[str, Any] = {
        "name": draw(st.sampled_from(["image", "encoded", "image", "other"])),
        "datatype": draw(st.sampled_from(["UINT8", "BYTES", "FP32"])),
        "shape": shape,
    }
    if draw(st.booleans()):
        tensor["parameters"] = {"binary_data_size": draw(st.one_of(st.just(len(data)), scalars))}
        return tensor, data
    tensor["data"] = draw(values)
    return tensor, b""


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """A V2 request that is nearly right: its body and its headers."""
    inputs = draw(st.lists(tensors(), max_size=2))
    body = {"inputs": [tensor for tensor, _ in inputs]} | draw(st.dictionaries(names, values, max_size=1))
    head = orjson.dumps(body)
    length = draw(st.one_of(st.just(str(len(head))), st.integers(-5, 500).map(str), st.just("x")))
    return head + b"".join(data for _, data in inputs), {JSON_LENGTH: length}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Limits(max_body_bytes=100_000))) as client:
        yield client


def check(client: TestClient, path: str, body: bytes, headers: dict[str, str] | None = None) -> None:
    response = client.post(path, content=body, headers=headers)
    assert response.status_code == 200 or 400 <= response.status_code < 500, response.text
    if response.status_code != 200:
        assert set(response.json()) == {"error"}


@FAST
@given(requests())
def test_v2(client: TestClient, request_: tuple[bytes, dict[str, str]]) -> None:
    check(client, "/v2/models/dummy/infer", *request_)


@FAST
@given(values, parameters)
def test_v1(client: TestClient, image: Any, asked: Any) -> None:
    for body in (image, {"instances": [{"image": image}], "parameters": asked}, {"inputs": [image]}):
        check(client, "/v1/models/dummy:predict", orjson.dumps(body))


@FAST
@given(st.binary(max_size=300), st.sampled_from(["/v1/models/dummy:predict", "/v2/models/dummy/infer"]))
def test_bytes(client: TestClient, body: bytes, path: str) -> None:
    check(client, path, body, {JSON_LENGTH: str(len(body) // 2)})


@FAST
@given(st.text(max_size=20), st.sampled_from(["GET", "POST", "PUT"]))
def test_paths(client: TestClient, text: str, method: str) -> None:
    name = quote(text, safe="/:")
    for path in (f"/v1/models/{name}", f"/v2/models/{name}/infer", f"/v2/models/dummy/versions/{name}"):
        assert client.request(method, path).status_code < 500


@FAST
@given(st.lists(tensors(), max_size=2), st.booleans(), st.binary(max_size=60))
def test_grpc(inputs: list[tuple[dict[str, Any], bytes]], raw: bool, noise: bytes) -> None:
    """Messages that are nearly right, and messages that are none."""
    message = pb.ModelInferRequest(model_name="dummy")
    for said, data in inputs:
        shape = [size for size in said["shape"] if type(size) is int and abs(size) < 2**63]
        tensor = message.inputs.add(name=said["name"], datatype=said["datatype"], shape=shape)
        if raw:
            message.raw_input_contents.append(data)
        else:
            tensor.contents.uint_contents.extend(data)
            tensor.contents.bytes_contents.append(data)
    for sent in (message.SerializeToString(), message.SerializeToString() + noise, noise):
        with suppress(InvalidRequest, InvalidImage):
            asked = grpc_v2.read(find("dummy"), grpc_v2.parse(sent))
            found = [infer(find("dummy"), asked, number) for number in range(len(asked.sources))]
            assert asked.respond(together(found)).content
