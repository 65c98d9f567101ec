"""The Open Inference Protocol (KServe V2) over HTTP, with the binary tensor data extension.

Sources: open-inference-protocol, `inference_rest.md`; KServe, "Binary Tensor Data Extension". JSON
has no bytes: elements of a BYTES tensor in JSON are base64, which the protocol leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from detector.errors import InvalidRequest
from detector.models import Model
from detector.serving import inference, parameters, tensors
from detector.serving.inference import Answer, Asked, Found
from detector.serving.metadata import COLUMNS, OUTPUT_NAMES
from detector.serving.parameters import Parameters
from detector.serving.tensors import Tensor

JSON_LENGTH = "inference-header-content-length"


class Request(NamedTuple):
    """`binary` says of each requested output, in their order, whether it goes behind the JSON."""

    id: str | None
    inputs: list[Tensor]
    parameters: Parameters
    binary: dict[str, bool]


def read(model: Model, body: bytes | bytearray, json_length: str | None) -> Asked:
    """A request's body. Raises InvalidRequest.

    json_length: the header Inference-Header-Content-Length, None where the body is JSON alone.
    """
    request = parse(body, json_length)
    return Asked(tensors.images(request.inputs), request.parameters, partial(respond, model, request))


def respond(model: Model, request: Request, found: Found) -> Answer:
    head, data = response(model, request, found)
    if not data:
        return inference.answer(model, found, head, "application/json")
    content = b"".join((head, *(array.data for array in data)))
    length = {JSON_LENGTH: str(len(head))}
    return inference.answer(model, found, content, "application/octet-stream", **length)


def response(model: Model, request: Request, found: Found) -> tuple[bytes, list[NDArray[Any]]]:
    """The JSON, and the arrays that follow it."""
    arrays = outputs(found, request.binary)
    said: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if request.id is not None:
        said["id"] = request.id
    said["parameters"] = request.parameters.applied(model)
    said["outputs"] = [described(name, array, request.binary[name]) for name, array in arrays.items()]
    head = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    return head, [array for name, array in arrays.items() if request.binary[name]]


def outputs(found: Found, names: Mapping[str, object]) -> dict[str, NDArray[Any]]:
    made: dict[str, NDArray[Any]] = {
        "circles": inference.rows(found.circles),
        "counts": inference.counts(found.circles),
    }
    return {name: made[name] for name in names}


def described(name: str, array: NDArray[Any], binary: bool) -> dict[str, Any]:
    datatype = "FP32" if array.dtype == np.float32 else "INT64"
    said: dict[str, Any] = {"name": name, "datatype": datatype, "shape": array.shape}
    about: dict[str, Any] = {"columns": COLUMNS} if name == "circles" else {}
    if binary:
        about["binary_data_size"] = array.nbytes
    else:
        said["data"] = array.reshape(-1)
    return said | {"parameters": about} if about else said


def parse(body: bytes | bytearray, json_length: str | None) -> Request:
    """Read a request; its tensors are views of the body, not yet looked at. Raises InvalidRequest."""
    view = memoryview(body)
    length = len(view)
    if json_length is not None:
        if not (json_length.isdecimal() and len(json_length) < 20 and int(json_length) <= length):
            raise InvalidRequest(
                f"Inference-Header-Content-Length is not a number of bytes up to the body's {length}:"
                f" {json_length:.50}"
            )
        length = int(json_length)
    try:
        request = orjson.loads(view[:length])
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    match request:
        case {"inputs": list(inputs)}:
            pass
        case _:
            raise InvalidRequest(
                'send {"inputs": [{"name": ..., "shape": ..., "datatype": ..., "data": ...}]}'
            )
    name = request.get("id")
    if not (name is None or isinstance(name, str)):
        raise InvalidRequest("id is not a string")
    given = request.get("parameters")
    found = parameters.parse(given)
    everywhere = flag(given or {}, "binary_data_output")
    return Request(
        name, list(read_inputs(inputs, view[length:])), found, requested(request.get("outputs"), everywhere)
    )


def read_inputs(inputs: list[Any], data: memoryview) -> Iterator[Tensor]:
    """Inputs in order; those of binary data take theirs from `data`, which they use up."""
    start = 0
    for each in inputs:
        match each:
            case {"name": str(name), "datatype": str(datatype), "shape": list(shape)}:
                pass
            case _:
                raise InvalidRequest("an input is not an object with name, datatype and shape")
        size = (each.get("parameters") or {}).get("binary_data_size") if has_parameters(each) else None
        if size is None:
            if not isinstance(each.get("data"), list):
                raise InvalidRequest(f"input {name:.50} has neither an array as data nor a binary_data_size")
            yield Tensor(name, datatype, shape, each["data"])
            continue
        if each.get("data") is not None:
            raise InvalidRequest(f"input {name:.50} has both data and a binary_data_size")
        if type(size) is not int or not 0 <= size <= len(data) - start:
            raise InvalidRequest(
                f"binary_data_size of {name:.50} is not a number of bytes up to the"
                f" {len(data) - start} behind the JSON"
            )
        yield Tensor(name, datatype, shape, data[start : start + size])
        start += size
    if start != len(data):
        raise InvalidRequest(f"{len(data) - start} bytes behind the JSON belong to no input")


def has_parameters(member: Mapping[str, Any]) -> bool:
    if not isinstance(member.get("parameters"), dict | None):
        raise InvalidRequest("parameters is not an object")
    return bool(member.get("parameters"))


def requested(outputs: object, everywhere: bool) -> dict[str, bool]:
    """The outputs to answer with, all where none is named, and which of them as binary data."""
    if outputs is None or outputs == []:
        return dict.fromkeys(OUTPUT_NAMES, everywhere)
    if not isinstance(outputs, list):
        raise InvalidRequest("outputs is not an array")
    found: dict[str, bool] = {}
    for each in outputs:
        match each:
            case {"name": str(name)} if name in OUTPUT_NAMES and name not in found:
                found[name] = (
                    flag(each["parameters"], "binary_data", everywhere)
                    if has_parameters(each)
                    else everywhere
                )
            case _:
                raise InvalidRequest(
                    f"outputs names each of {' and '.join(OUTPUT_NAMES)} at most once, and nothing else"
                )
    return found


def flag(given: Mapping[str, Any], name: str, otherwise: bool = False) -> bool:
    found = given.get(name, otherwise)
    if not isinstance(found, bool):
        raise InvalidRequest(f"{name} is neither true nor false")
    return found
