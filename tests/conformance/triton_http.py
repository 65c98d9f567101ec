"""Triton's HTTP client against the server at argv[1]; runs in the clients' environment."""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton  # type: ignore[import-not-found]
from PIL import Image, ImageDraw
from tritonclient.utils import InferenceServerException  # type: ignore[import-not-found]


def disc() -> Any:
    """One disc: (120, 160, 3) RGB."""
    image = Image.new("RGB", (160, 120), (40, 50, 60))
    ImageDraw.Draw(image).ellipse((50, 30, 110, 90), (180, 200, 220))
    return np.asarray(image)


def png(image: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def tensor(name: str, array: Any, datatype: str, *, binary: bool) -> Any:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def outputs(*, binary: bool) -> list[Any]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in ("circles", "counts")]


def check_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("circles")
    assert client.is_model_ready("dummy", "1")
    assert not client.is_model_ready("squares")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("circles")
    assert [one["name"] for one in metadata["inputs"]] == ["image", "encoded"]
    assert [one["name"] for one in metadata["outputs"]] == ["circles", "counts"]
    assert metadata["outputs"][0]["shape"] == [-1, 11]


def check_tensors(client: Any) -> None:
    image, empty = disc(), np.zeros_like(disc())
    files = np.array([png(image), png(empty)], dtype=np.object_)
    texts = np.array([base64.b64encode(file) for file in files], dtype=np.object_)
    batch = np.stack([image, empty])
    inputs = [
        tensor("image", batch, "UINT8", binary=True),
        tensor("image", batch, "UINT8", binary=False),
        tensor("encoded", files, "BYTES", binary=True),
        tensor("encoded", files[:, None], "BYTES", binary=True),
        tensor("encoded", texts, "BYTES", binary=False),
    ]
    for each in inputs:
        for asked in (None, outputs(binary=True), outputs(binary=False)):
            found = client.infer("circles", [each], outputs=asked, request_id="7")
            circles, counts = found.as_numpy("circles"), found.as_numpy("counts")
            assert counts.dtype == np.int64
            assert counts.tolist() == [1, 0], counts
            assert circles.dtype == np.float32
            assert circles.shape == (1, 11), circles.shape
            assert np.allclose(circles[0, :3], (80, 60, 30), atol=1.5), circles
            assert found.get_response()["id"] == "7"
            assert found.get_response()["model_name"] == "circles"


def check_outputs_and_parameters(client: Any) -> None:
    image = tensor("image", disc(), "UINT8", binary=True)
    found = client.infer(
        "dummy",
        [image],
        model_version="1",
        outputs=[triton.InferRequestedOutput("counts", binary_data=True)],
        parameters={"label": "coin", "min_radius": 25.5},
    )
    assert found.as_numpy("circles") is None
    assert found.as_numpy("counts").tolist() == [0]
    assert found.get_response()["parameters"]["label"] == "coin"
    nothing = client.infer("dummy", [image], parameters={"min_radius": 25.5})
    assert nothing.as_numpy("circles").shape == (0, 11)


def check_errors(client: Any) -> None:
    good, wrong = disc(), np.zeros((4, 4, 4), np.uint8)
    for model, array, status, reason in (
        ("squares", good, "404", "no model squares"),
        ("circles", wrong, "400", "image has shape"),
    ):
        refused: Any = None
        try:
            client.infer(model, [tensor("image", array, "UINT8", binary=True)])
        except InferenceServerException as error:
            refused = error
        assert refused, "it was answered"
        assert refused.status() == status, refused.status()
        assert reason in refused.message(), refused.message()


if __name__ == "__main__":
    with triton.InferenceServerClient(sys.argv[1].removeprefix("http://")) as connected:
        check_health_and_metadata(connected)
        check_tensors(connected)
        check_outputs_and_parameters(connected)
        check_errors(connected)
    print("all answered as the protocol says")
