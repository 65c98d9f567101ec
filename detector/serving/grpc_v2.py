"""The messages of the Open Inference Protocol's gRPC form, to and from what the models take and give.

Source: `grpc_predict_v2.proto` beside this file. A response's tensors have the form of the
request's: raw contents where those were raw, typed ones otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from detector.errors import InvalidRequest
from detector.models import Model
from detector.serving import inference, metadata, tensors
from detector.serving.grpc_predict_v2_pb2 import (
    InferParameter,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
)
from detector.serving.inference import Answer, Asked, Found
from detector.serving.parameters import Parameters
from detector.serving.parameters import parse as parameters_of
from detector.serving.tensors import Tensor
from detector.serving.v2 import outputs, requested

CONTENTS = {"UINT8": "uint_contents", "BYTES": "bytes_contents"}


def parse(message: bytes) -> ModelInferRequest:
    """Raises InvalidRequest."""
    try:
        return ModelInferRequest.FromString(message)
    except DecodeError as error:
        raise InvalidRequest(f"not a ModelInferRequest: {error}") from None


def read(model: Model, request: ModelInferRequest) -> Asked:
    """Raises InvalidRequest."""
    wanted = requested([{"name": each.name} for each in request.outputs], everywhere=True)
    asked = parameters_of(plain(request.parameters))
    return Asked(tensors.images(inputs(request)), asked, partial(respond, model, request, asked, wanted))


def respond(
    model: Model, request: ModelInferRequest, asked: Parameters, wanted: dict[str, bool], found: Found
) -> Answer:
    """A serialized ModelInferResponse."""
    response = ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
    set_parameters(response.parameters, asked.applied(model))
    typed = any(tensor.HasField("contents") for tensor in request.inputs)
    for name, array in outputs(found, wanted).items():
        tensor = response.outputs.add(name=name, shape=array.shape)
        tensor.datatype = "FP32" if name == "circles" else "INT64"
        if name == "circles":
            tensor.parameters["columns"].string_param = metadata.COLUMNS
        if not typed:
            response.raw_output_contents.append(array.tobytes())
        elif name == "circles":
            tensor.contents.fp32_contents.extend(array.reshape(-1).tolist())
        else:
            tensor.contents.int64_contents.extend(array.tolist())
    return inference.answer(model, found, response.SerializeToString(), "application/grpc")


def inputs(request: ModelInferRequest) -> list[Tensor]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs: one for each")
    found = []
    for number, tensor in enumerate(request.inputs):
        if raw and tensor.HasField("contents"):
            raise InvalidRequest("send contents or raw_input_contents, not both")
        data = memoryview(raw[number]) if raw else elements(tensor)
        found.append(Tensor(tensor.name, tensor.datatype, list(tensor.shape), data))
    return found


def elements(tensor: ModelInferRequest.InferInputTensor) -> list[Any]:
    """The typed contents; none where another type's are filled, which the shape then tells."""
    member = CONTENTS.get(tensor.datatype)
    return list(getattr(tensor.contents, member)) if member else []


def plain(given: Mapping[str, InferParameter]) -> dict[str, Any]:
    chosen = {name: (value, value.WhichOneof("parameter_choice")) for name, value in given.items()}
    return {name: getattr(value, choice) if choice else None for name, (value, choice) in chosen.items()}


def set_parameters(target: Any, given: Mapping[str, str | float]) -> None:
    for name, value in given.items():
        if isinstance(value, str):
            target[name].string_param = value
        else:
            target[name].double_param = value


def model_metadata(name: str, version: str | None) -> ModelMetadataResponse:
    """Raises UnknownModel."""
    said = metadata.of_model(name, version)
    tensor = ModelMetadataResponse.TensorMetadata

    def described(each: dict[str, Any]) -> ModelMetadataResponse.TensorMetadata:
        return tensor(name=each["name"], datatype=each["datatype"], shape=each["shape"])

    return ModelMetadataResponse(
        name=said["name"],
        versions=said["versions"],
        platform=said["platform"],
        inputs=map(described, said["inputs"]),
        outputs=map(described, said["outputs"]),
    )
