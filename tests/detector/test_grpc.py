"""The Open Inference Protocol over gRPC."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message

from detector import Circles, models
from detector.circles import FIELDS
from detector.models import Model
from detector.serving import grpc_predict_v2_pb2 as pb
from detector.serving import grpc_server
from detector.serving.limits import Limits
from detector.serving.service import Service
from tests.detector.calls import picture, png, prefixed
from tests.detector.held import Held

DISC = picture()
T = TypeVar("T")


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[grpc.aio.Channel]:
    service = Service(Limits(**limits))
    server = grpc_server.server(service)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)
        service.workers.close()


def against(calls: Callable[[grpc.aio.Channel], Awaitable[T]], **limits: Any) -> T:
    async def run() -> T:
        async with serving(**limits) as channel:
            return await calls(channel)

    return asyncio.run(run())


def call(channel: grpc.aio.Channel, method: str, request: Message | bytes, answer: type[T]) -> Any:
    """The call, which gives an `answer` when awaited."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    read: Any = answer
    made: Any = channel.unary_unary(f"/{grpc_server.NAME}/{method}", response_deserializer=read.FromString)
    return made(data)


def once(method: str, request: Message | bytes, answer: type[T], **limits: Any) -> T:
    async def one(channel: grpc.aio.Channel) -> T:
        found: T = await call(channel, method, request, answer)
        return found

    return against(one, **limits)


def infer(request: Message | bytes, **limits: Any) -> pb.ModelInferResponse:
    return once("ModelInfer", request, pb.ModelInferResponse, **limits)


def pixels(
    image: np.ndarray[Any, Any] = DISC, model: str = "circles", **members: Any
) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=image.shape)
    return pb.ModelInferRequest(
        model_name=model, inputs=[tensor], raw_input_contents=[image.tobytes()], **members
    )


def encoded(*files: bytes, raw: bool) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="encoded", datatype="BYTES", shape=[len(files)])
    request = pb.ModelInferRequest(model_name="circles", inputs=[tensor])
    if raw:
        request.raw_input_contents.append(prefixed(*files))
    else:
        request.inputs[0].contents.bytes_contents.extend(files)
    return request


def arrays(response: pb.ModelInferResponse) -> dict[str, Any]:
    found = {}
    for number, output in enumerate(response.outputs):
        dtype = {"FP32": "<f4", "INT64": "<i8"}[output.datatype]
        if response.raw_output_contents:
            array = np.frombuffer(response.raw_output_contents[number], dtype)
        else:
            array = np.array(output.contents.fp32_contents or output.contents.int64_contents, dtype)
        found[output.name] = array.reshape(tuple(output.shape))
    return found


def test_the_servers_health_and_metadata() -> None:
    assert once("ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse).live
    assert once("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse).ready
    said = once("ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse)
    assert said.name == "circles"
    assert said.version
    assert list(said.extensions) == ["binary_tensor_data"]


@pytest.mark.parametrize("version", ["", models.find("circles").version])
def test_a_models_metadata(version: str) -> None:
    request = {"name": "circles", "version": version}
    assert once("ModelReady", pb.ModelReadyRequest(**request), pb.ModelReadyResponse).ready
    said = once("ModelMetadata", pb.ModelMetadataRequest(**request), pb.ModelMetadataResponse)
    assert said.name == "circles"
    assert models.find("circles").version in said.versions
    assert [(one.name, one.datatype, list(one.shape)) for one in (*said.inputs, *said.outputs)] == [
        ("image", "UINT8", [-1, -1, -1, 3]),
        ("encoded", "BYTES", [-1]),
        ("circles", "FP32", [-1, 11]),
        ("counts", "INT64", [-1]),
    ]


def test_every_form_of_a_request_answers_alike() -> None:
    batch = np.stack([DISC, np.zeros_like(DISC), DISC])
    typed = pixels(batch)
    typed.inputs[0].contents.uint_contents.extend(batch.ravel().tolist())
    typed.ClearField("raw_input_contents")
    files = [png(image) for image in batch]
    requests = [pixels(batch), typed, encoded(*files, raw=True), encoded(*files, raw=False)]
    answers = [infer(request) for request in requests]
    assert [bool(answer.raw_output_contents) for answer in answers] == [True, False, True, False]
    circle = models.find("circles").detect(DISC)[0]
    row = [circle[field] for field in FIELDS]
    for answer in answers:
        found = arrays(answer)
        assert found["counts"].tolist() == [1, 0, 1]
        np.testing.assert_array_equal(found["circles"], np.array([row, row], np.float32))


def test_what_a_response_says() -> None:
    request = pixels(model="dummy", id="42", model_version="1")
    request.parameters["label"].string_param = "coin"
    request.parameters["max_radius"].int64_param = 50
    request.parameters["min_score"].double_param = 0.25
    request.outputs.add(name="circles")

    async def trailing(channel: grpc.aio.Channel) -> tuple[pb.ModelInferResponse, Any]:
        waiting = call(channel, "ModelInfer", request, pb.ModelInferResponse)
        return await waiting, await waiting.trailing_metadata()

    response, metadata = against(trailing)
    assert (response.model_name, response.model_version, response.id) == ("dummy", "1", "42")
    assert {
        name: value.string_param or value.double_param for name, value in response.parameters.items()
    } == {
        "label": "coin",
        "min_score": 0.25,
        "min_radius": 0,
        "max_radius": 50,
    }
    assert [output.name for output in response.outputs] == ["circles"]
    assert response.outputs[0].parameters["columns"].string_param.split(",") == list(FIELDS)
    assert arrays(response)["circles"].tolist() == [[30, 30, 20, 1, 10, 10, 50, 50, 20, 20, 0]]
    assert float(metadata["prediction-time-latency"]) > 0


def broken(change: Callable[[pb.ModelInferRequest], object]) -> pb.ModelInferRequest:
    request = pixels(model="dummy")
    change(request)
    return request


def with_number(name: str, **value: Any) -> pb.ModelInferRequest:
    return broken(lambda r: r.parameters[name].CopyFrom(pb.InferParameter(**value)))


INVALID, UNKNOWN = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (b"\xff\xff", INVALID, "not a ModelInferRequest"),
        (b"", UNKNOWN, "no model "),
        (pixels(model="squares"), UNKNOWN, "no model squares; there are"),
        (pixels(model="dummy", model_version="9"), UNKNOWN, "no model dummy:9"),
        (pixels(model="x" * 100_000), UNKNOWN, "no model xxx"),
        (pb.ModelInferRequest(model_name="dummy"), INVALID, "send exactly one of the inputs"),
        (
            broken(lambda r: r.ClearField("raw_input_contents")),
            INVALID,
            "image [120, 160, 3] has 57600 numbers",
        ),
        (broken(lambda r: r.raw_input_contents.append(b"")), INVALID, "2 raw_input_contents for 1 inputs"),
        (
            broken(lambda r: r.inputs[0].contents.uint_contents.append(1)),
            INVALID,
            "send contents or raw_input_contents, not both",
        ),
        (broken(lambda r: r.inputs[0].shape.__setitem__(2, 4)), INVALID, "image has shape"),
        (broken(lambda r: r.inputs[0].shape.__setitem__(0, -1)), INVALID, "the shape of image is not"),
        (broken(lambda r: r.inputs[0].shape.__setitem__(0, 2**62)), INVALID, "too many pixels"),
        (broken(lambda r: setattr(r.inputs[0], "datatype", "FP32")), INVALID, "image is UINT8, not 'FP32'"),
        (broken(lambda r: r.outputs.add(name="boxes")), INVALID, "outputs names each of circles and counts"),
        (
            with_number("min_radius", double_param=float("nan")),
            INVALID,
            "parameters.min_radius is not a number",
        ),
        (
            with_number("max_radius", double_param=float("inf")),
            INVALID,
            "parameters.max_radius is not a number",
        ),
        (with_number("min_score", bool_param=True), INVALID, "parameters.min_score is not a number"),
        (with_number("min_score", string_param="0.5"), INVALID, "parameters.min_score is not a number"),
        (with_number("min_score"), INVALID, "parameters.min_score is not a number"),
        (with_number("label", int64_param=1), INVALID, "parameters.label is not a string"),
        (encoded(b"abc", raw=False), INVALID, "not an image; send JPEG, PNG or WebP"),
    ],
)
def test_refusals(request_: Message | bytes, code: grpc.StatusCode, reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        infer(request_)
    assert refused.value.code() is code
    assert (refused.value.details() or "").startswith(reason)


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
def test_no_such_model(method: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        once(method, pb.ModelReadyRequest(name="squares"), pb.ModelReadyResponse)
    assert refused.value.code() is UNKNOWN


def test_a_request_beyond_the_limit_of_bytes() -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        infer(pixels(), max_body_bytes=1000)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("seconds", "code", "reason"),
    [
        (None, INVALID, "no ModelInferRequest was sent"),
        (60.0, grpc.StatusCode.DEADLINE_EXCEEDED, "the request did not come within 0.1 s"),
    ],
)
def test_a_call_without_a_message(seconds: float | None, code: grpc.StatusCode, reason: str) -> None:
    async def messages() -> AsyncIterator[bytes]:
        if seconds:
            await asyncio.sleep(seconds)
            yield b""

    async def send(channel: grpc.aio.Channel) -> object:
        made: Any = channel.stream_unary(f"/{grpc_server.NAME}/ModelInfer")
        return await made(messages())

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        against(send, body_timeout_s=0.1 if seconds else 30)
    assert (refused.value.code(), refused.value.details()) == (code, reason)


def test_a_fault_in_a_model_is_told_without_its_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(_image: object) -> Circles:
        raise RuntimeError("secret")

    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", fault),))
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        infer(pixels())
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")


def test_a_full_queue_and_a_caller_that_gives_up(model: Held) -> None:
    async def many(channel: grpc.aio.Channel) -> list[Any]:
        calls = [call(channel, "ModelInfer", pixels(), pb.ModelInferResponse) for _ in range(9)]
        while sum(each.done() for each in calls) < 6:  # noqa: ASYNC110 gRPC has no event for it
            await asyncio.sleep(0.01)
        model.go.release(3)
        ended = await asyncio.gather(*calls, return_exceptions=True)
        last = [call(channel, "ModelInfer", pixels(), pb.ModelInferResponse) for _ in range(3)]
        for _ in range(4):
            await model.begins()
        await asyncio.sleep(0.1)  # in which the others come, and the last one's end is told
        last[-1].cancel()
        await asyncio.sleep(0.1)
        model.go.release(2)
        await asyncio.gather(*last, return_exceptions=True)
        return ended

    ended = against(many, workers=1, waiting=2)
    refused = [one for one in ended if isinstance(one, grpc.aio.AioRpcError)]
    assert len(refused) == 6
    for error in refused:
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert ("grpc-retry-pushback-ms", "1000") in tuple(error.trailing_metadata())
    assert len(model.seen) == 5


def test_no_request_is_held_when_it_is_answered() -> None:
    """gRPC's iterator of messages and its generator hold each other, and the message with them."""
    refused = pb.ModelInferRequest(model_name="nobody", id="x" * 500_000)

    async def twenty(channel: grpc.aio.Channel) -> int:
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError):
                await call(channel, "ModelInfer", refused, pb.ModelInferResponse)
        return tracemalloc.get_traced_memory()[0]

    gc.disable()
    tracemalloc.start()
    try:
        held = against(twenty)
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held < 5_000_000
