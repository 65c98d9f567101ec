"""What V2 says of the server and of each model: the same over HTTP and gRPC."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from detector import models
from detector.circles import FIELDS

COLUMNS = ",".join(FIELDS)
"""Of the output `circles`, in order; what they mean is said at `detector.circles.CIRCLE`."""

PLATFORM = "opencv_python"

INPUTS: list[dict[str, Any]] = [
    {"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
    {"name": "encoded", "datatype": "BYTES", "shape": [-1]},
]
OUTPUTS: list[dict[str, Any]] = [
    {"name": "circles", "datatype": "FP32", "shape": [-1, len(FIELDS)], "parameters": {"columns": COLUMNS}},
    {"name": "counts", "datatype": "INT64", "shape": [-1]},
]
OUTPUT_NAMES = tuple(output["name"] for output in OUTPUTS)


def server() -> dict[str, Any]:
    return {"name": "circles", "version": version("circles"), "extensions": ["binary_tensor_data"]}


def of_model(name: str, wanted: str | None = None) -> dict[str, Any]:
    """A model's versions and tensors. Raises UnknownModel.

    A request has exactly one of the inputs: `image` is RGB of shape [N, H, W, 3] or [H, W, 3], or
    grey [H, W]; `encoded` is JPEG, PNG or WebP, [N] or [N, 1].
    """
    models.find(name, wanted)
    there = sorted((model.version for model in models.MODELS if model.name == name), key=int)
    return {"name": name, "versions": there, "platform": PLATFORM, "inputs": INPUTS, "outputs": OUTPUTS}
