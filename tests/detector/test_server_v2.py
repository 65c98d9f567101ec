"""The Open Inference Protocol over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from starlette.testclient import TestClient

from detector import models
from detector.circles import FIELDS
from detector.server import create_app
from detector.serving.limits import Limits
from tests.detector.calls import JSON_LENGTH, base64_png, binary, picture, png, prefixed, raw

INFER = "/v2/models/circles/infer"
DUMMY = "/v2/models/dummy/infer"
DISC = picture()
NEWEST = models.find("circles").version
PIXELS = {"name": "image", "shape": [2, 2], "datatype": "UINT8", "data": [0, 0, 0, 0]}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Limits(max_body_bytes=1_000_000))) as client:
        yield client


def outputs(response: Any) -> dict[str, Any]:
    """Arrays by name, read as the binary tensor data extension says."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(JSON_LENGTH, len(response.content)))
    said = orjson.loads(response.content[:length])
    found, start = {}, length
    for output in said["outputs"]:
        dtype = {"FP32": "<f4", "INT64": "<i8"}[output["datatype"]]
        if (size := output.get("parameters", {}).get("binary_data_size")) is None:
            array = np.array(output["data"], dtype)
        else:
            array = np.frombuffer(response.content[start : start + size], dtype)
            start += size
        found[output["name"]] = array.reshape(output["shape"])
    assert start == len(response.content)
    return found


def test_circles_of_all_images_and_how_many_each_has(client: TestClient) -> None:
    batch = np.stack([DISC, np.zeros_like(DISC), DISC[:, ::-1]])
    body, headers = raw(batch)
    found = outputs(client.post(INFER, content=body, headers=headers))
    model = models.find("circles")
    each = [model.detect(image) for image in batch]
    assert found["counts"].tolist() == [len(circles) for circles in each] == [1, 0, 1]
    assert found["circles"].shape == (2, 11)
    expected = [[circle[field] for field in FIELDS] for circles in each for circle in circles]
    np.testing.assert_array_equal(found["circles"], np.array(expected, np.float32))


@pytest.mark.parametrize("path", [INFER, f"/v2/models/circles/versions/{NEWEST}/infer"])
def test_every_form_of_a_request_answers_alike(client: TestClient, path: str) -> None:
    file = png(DISC)
    pixels = {"name": "image", "datatype": "UINT8", "shape": DISC.shape}
    encoded = {"name": "encoded", "datatype": "BYTES", "shape": [1]}
    requests: list[tuple[bytes, dict[str, str]]] = [
        raw(DISC),
        raw(DISC[None]),
        raw(DISC, parameters={"binary_data_output": True}),
        binary(encoded, prefixed(file)),
        binary(encoded | {"shape": [1, 1]}, prefixed(file)),
        (orjson.dumps({"inputs": [pixels | {"data": DISC.tolist()}]}), {}),
        (orjson.dumps({"inputs": [pixels | {"data": DISC.ravel().tolist()}], "parameters": None}), {}),
        (orjson.dumps({"inputs": [encoded | {"data": [base64.b64encode(file).decode()]}]}), {}),
    ]
    answers = [outputs(client.post(path, content=body, headers=headers)) for body, headers in requests]
    assert answers[0]["circles"].shape == (1, 11)
    for answer in answers[1:]:
        for name in ("circles", "counts"):
            np.testing.assert_array_equal(answer[name], answers[0][name])


def test_a_grey_image(client: TestClient) -> None:
    body, headers = raw(DISC[..., 0])
    assert outputs(client.post(INFER, content=body, headers=headers))["counts"] == [1]


def test_the_json_of_a_response(client: TestClient) -> None:
    asked = {"label": "coin", "max_radius": 50}
    body, headers = raw(DISC, id="42", parameters=asked)
    response = client.post(DUMMY, content=body, headers=headers)
    assert JSON_LENGTH not in response.headers
    assert response.headers["content-type"] == "application/json"
    assert float(response.headers["prediction-time-latency"]) > 0
    assert response.json() == {
        "model_name": "dummy",
        "model_version": "1",
        "id": "42",
        "parameters": {"label": "coin", "min_score": 0, "min_radius": 0, "max_radius": 50},
        "outputs": [
            {
                "name": "circles",
                "datatype": "FP32",
                "shape": [1, 11],
                "parameters": {"columns": "x,y,radius,score,x_min,y_min,x_max,y_max,major,minor,angle"},
                "data": [30, 30, 20, 1, 10, 10, 50, 50, 20, 20, 0],
            },
            {"name": "counts", "datatype": "INT64", "shape": [1], "data": [1]},
        ],
    }


@pytest.mark.parametrize(
    ("members", "names", "as_binary"),
    [
        ({}, ["circles", "counts"], []),
        ({"outputs": []}, ["circles", "counts"], []),
        ({"parameters": {"binary_data_output": True}}, ["circles", "counts"], ["circles", "counts"]),
        ({"outputs": [{"name": "counts"}]}, ["counts"], []),
        ({"outputs": [{"name": "counts"}, {"name": "circles"}]}, ["counts", "circles"], []),
        ({"outputs": [{"name": "circles", "parameters": {"binary_data": True}}]}, ["circles"], ["circles"]),
        (
            {
                "outputs": [{"name": "counts"}, {"name": "circles", "parameters": {"binary_data": False}}],
                "parameters": {"binary_data_output": True},
            },
            ["counts", "circles"],
            ["counts"],
        ),
    ],
)
def test_outputs_are_those_asked_for(
    client: TestClient, members: dict[str, Any], names: list[str], as_binary: list[str]
) -> None:
    body, headers = raw(DISC, **members)
    response = client.post(DUMMY, content=body, headers=headers)
    found = outputs(response)
    assert list(found) == names
    assert (JSON_LENGTH in response.headers) is bool(as_binary)
    said = orjson.loads(response.content[: int(response.headers.get(JSON_LENGTH, 10**9))])["outputs"]
    sized = [one["name"] for one in said if "binary_data_size" in one.get("parameters", {})]
    assert sized == as_binary
    assert "id" not in said


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/models/dummy/ready", {"name": "dummy", "ready": True}),
        ("/v2/models/dummy/versions/1/ready", {"name": "dummy", "version": "1", "ready": True}),
    ],
)
def test_a_model_is_ready(client: TestClient, path: str, answer: dict[str, Any]) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, answer)


def test_metadata(client: TestClient) -> None:
    server = client.get("/v2").json()
    assert set(server) == {"name", "version", "extensions"}
    assert server["extensions"] == ["binary_tensor_data"]
    model = client.get("/v2/models/circles").json()
    assert model == client.get(f"/v2/models/circles/versions/{NEWEST}").json()
    assert model["versions"] == sorted(
        (model.version for model in models.MODELS if model.name == "circles"), key=int
    )
    assert [
        (one["name"], one["datatype"], one["shape"]) for one in (*model["inputs"], *model["outputs"])
    ] == [
        ("image", "UINT8", [-1, -1, -1, 3]),
        ("encoded", "BYTES", [-1]),
        ("circles", "FP32", [-1, 11]),
        ("counts", "INT64", [-1]),
    ]
    assert model["outputs"][0]["parameters"]["columns"].split(",") == list(FIELDS)


@pytest.mark.parametrize(
    "path",
    ["/v2/models/squares", "/v2/models/squares/ready", "/v2/models/circles/versions/99", "/v2/nowhere"],
)
def test_what_is_not_there(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.json()["error"].startswith(("no model", "Not Found"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is not JSON"),
        (b"[]", "send {"),
        ({"inputs": {}}, "send {"),
        ({"inputs": []}, "send exactly one"),
        ({"inputs": [7]}, "an input is not an object with name, datatype and shape"),
        ({"inputs": [{"name": "image", "shape": [2, 2]}]}, "an input is not an object"),
        ({"inputs": [PIXELS], "id": 7}, "id is not a string"),
        ({"inputs": [PIXELS], "parameters": []}, "parameters is not an object"),
        (
            {"inputs": [PIXELS], "parameters": {"binary_data_output": 1}},
            "binary_data_output is neither true nor",
        ),
        ({"inputs": [PIXELS], "parameters": {"min_radius": "1"}}, "parameters.min_radius is not a number"),
        ({"inputs": [PIXELS], "outputs": {}}, "outputs is not an array"),
        ({"inputs": [PIXELS], "outputs": [{"name": "boxes"}]}, "outputs names each of circles and counts"),
        (
            {"inputs": [PIXELS], "outputs": [{"name": "counts"}] * 2},
            "outputs names each of circles and counts",
        ),
        (
            {"inputs": [PIXELS], "outputs": [{"name": "counts", "parameters": {"binary_data": "yes"}}]},
            "binary_data is neither true nor false",
        ),
        (
            {"inputs": [PIXELS], "outputs": [{"name": "counts", "parameters": 1}]},
            "parameters is not an object",
        ),
        ({"inputs": [PIXELS | {"data": None}]}, "input image has neither an array as data nor"),
        ({"inputs": [PIXELS | {"parameters": 7}]}, "parameters is not an object"),
        ({"inputs": [PIXELS | {"parameters": {"binary_data_size": 4}}]}, "input image has both data and"),
        ({"inputs": [PIXELS, PIXELS]}, "send exactly one of the inputs"),
    ],
)
def test_refusals(client: TestClient, body: Any, reason: str) -> None:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    response = client.post(DUMMY, content=content)
    assert response.status_code == 400, response.text
    assert response.json()["error"].startswith(reason)


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "", "9" * 30, "100000", "²"])
def test_a_false_length_of_the_json(client: TestClient, length: str) -> None:
    body, _ = raw(np.zeros((20, 20), np.uint8))
    response = client.post(DUMMY, content=body, headers={JSON_LENGTH.encode(): length.encode("latin-1")})
    assert response.status_code == 400
    assert "Inference-Header-Content-Length" in response.json()["error"]


@pytest.mark.parametrize(
    ("size", "data", "reason"),
    [
        (4, bytes(5), "1 bytes behind the JSON belong to no input"),
        (5, bytes(4), "binary_data_size of image is not a number of bytes up to the 4 behind"),
        (-1, bytes(4), "binary_data_size of image is not a number of bytes"),
        (True, bytes(4), "binary_data_size of image is not a number of bytes"),
        ("4", bytes(4), "binary_data_size of image is not a number of bytes"),
        (3, bytes(3), "image [2, 2] has 4 bytes, not 3"),
    ],
)
def test_false_sizes_of_binary_data(client: TestClient, size: Any, data: bytes, reason: str) -> None:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [2, 2], "parameters": {"binary_data_size": size}}
    head = orjson.dumps({"inputs": [tensor]})
    response = client.post(DUMMY, content=head + data, headers={JSON_LENGTH: str(len(head))})
    assert response.status_code == 400
    assert response.json()["error"].startswith(reason)


def test_an_encoded_image_that_is_none(client: TestClient) -> None:
    tensor = {"name": "encoded", "shape": [2], "datatype": "BYTES", "data": [base64_png(DISC), "YWJj"]}
    response = client.post(DUMMY, content=orjson.dumps({"inputs": [tensor]}))
    assert response.status_code == 422
    assert response.json()["error"].startswith("image 1 of 0 to 1: not an image; send JPEG, PNG or WebP")


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    response = client.post(DUMMY, content=b"x", headers={"content-encoding": "gzip"})
    assert (response.status_code, response.json()) == (415, {"error": "send the body as it is, not in gzip"})
