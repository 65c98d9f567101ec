"""Triton's gRPC client against the server at argv[1]; runs in the clients' environment."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-not-found]
from triton_http import disc, png  # type: ignore[import-not-found]
from tritonclient.utils import InferenceServerException  # type: ignore[import-not-found]


def tensor(name: str, array: Any, datatype: str) -> Any:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def check_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("circles")
    assert client.is_model_ready("dummy", "1")
    assert list(client.get_server_metadata().extensions) == ["binary_tensor_data"]
    metadata = client.get_model_metadata("circles")
    assert [one.name for one in metadata.inputs] == ["image", "encoded"]
    assert [list(one.shape) for one in metadata.outputs] == [[-1, 11], [-1]]


def check_tensors(client: Any) -> None:
    image, empty = disc(), np.zeros_like(disc())
    files = np.array([png(image), png(empty)], dtype=np.object_)
    for each in (
        tensor("image", np.stack([image, empty]), "UINT8"),
        tensor("encoded", files, "BYTES"),
    ):
        found = client.infer("circles", [each], request_id="7")
        assert found.as_numpy("counts").tolist() == [1, 0]
        circles = found.as_numpy("circles")
        assert circles.dtype == np.float32
        assert np.allclose(circles[0, :3], (80, 60, 30), atol=1.5), circles
        assert found.get_response().id == "7"


def check_outputs_and_parameters(client: Any) -> None:
    found = client.infer(
        "dummy",
        [tensor("image", disc(), "UINT8")],
        outputs=[triton.InferRequestedOutput("counts")],
        parameters={"label": "coin", "min_radius": 25},
    )
    assert found.as_numpy("circles") is None
    assert found.as_numpy("counts").tolist() == [0]
    assert found.get_response().parameters["label"].string_param == "coin"


def check_errors(client: Any) -> None:
    good, wrong = disc(), np.zeros((4, 4, 4), np.uint8)
    for model, array, status, reason in (
        ("squares", good, "StatusCode.NOT_FOUND", "no model squares"),
        ("circles", wrong, "StatusCode.INVALID_ARGUMENT", "image has shape"),
    ):
        refused: Any = None
        try:
            client.infer(model, [tensor("image", array, "UINT8")])
        except InferenceServerException as error:
            refused = error
        assert refused, "it was answered"
        assert refused.status() == status, refused.status()
        assert reason in refused.message(), refused.message()


if __name__ == "__main__":
    with triton.InferenceServerClient(sys.argv[1]) as connected:
        check_health_and_metadata(connected)
        check_tensors(connected)
        check_outputs_and_parameters(connected)
        check_errors(connected)
    print("all answered as the protocol says")
