"""KServe's REST client, V1 and V2, against the server at argv[1]; runs in the clients' environment."""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import Any

import httpx
import numpy as np
from kserve import (  # type: ignore[import-not-found]
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)
from kserve.protocol.infer_type import RequestedOutput  # type: ignore[import-not-found]
from triton_http import disc, png  # type: ignore[import-not-found]


async def check_v1(client: Any, url: str) -> None:
    assert await client.is_server_live(url)
    assert await client.is_model_ready(url, "circles")
    image = {"image": {"b64": base64.b64encode(png(disc())).decode()}}
    one = await client.infer(url, {"instances": [image]}, "circles")
    assert [abs(circle["centroid"]["x"] - 80.5) < 1 for circle in one["predictions"]] == [True]
    two = await client.infer(url, {"instances": [image, image], "parameters": {"label": "coin"}}, "circles")
    assert [[circle["label"] for circle in circles] for circles in two["predictions"]] == [["coin"]] * 2
    await check_error(client.infer(url, {"instances": []}, "circles"), 400, "send {")
    await check_error(client.infer(url, {"instances": [image]}, "squares"), 404, "no model squares")


async def check_v2(client: Any, url: str) -> None:
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, "circles")
    assert not await client.is_model_ready(url, "squares")
    image, empty = disc(), np.zeros_like(disc())
    files = np.array([png(image), png(empty)], dtype=np.object_)
    texts = [base64.b64encode(file).decode() for file in files]
    inputs = [
        tensor("image", np.stack([image, empty]), "UINT8", binary=True),
        tensor("image", np.stack([image, empty]), "UINT8", binary=False),
        tensor("encoded", files, "BYTES", binary=True),
        InferInput("encoded", [2], "BYTES", texts),
    ]
    for each in inputs:
        for binary in (True, False):
            asked = [RequestedOutput(name, {"binary_data": binary}) for name in ("circles", "counts")]
            request = InferRequest("circles", [each], request_id="7", request_outputs=asked)
            found = {one.name: one.as_numpy() for one in (await answer(client, url, request)).outputs}
            assert found["counts"].tolist() == [1, 0]
            assert np.allclose(found["circles"][0, :3], (80, 60, 30), atol=1.5), found["circles"]
    labelled = InferRequest(
        "dummy", inputs[:1], request_id="8", parameters={"label": "coin", "binary_data_output": True}
    )
    said = await answer(client, url, labelled)
    assert said.parameters["label"] == "coin"
    wrong = tensor("image", np.zeros((4, 4, 4), np.uint8), "UINT8", binary=True)
    await check_error(client.infer(url, InferRequest("circles", [wrong]), "circles"), 400, "image has shape")


def tensor(name: str, array: Any, datatype: str, *, binary: bool) -> Any:
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


async def answer(client: Any, url: str, request: Any) -> Any:
    found = await client.infer(url, request, request.model_name)
    assert found.model_name == request.model_name
    assert found.id == request.id
    return found


async def check_error(call: Any, status: int, reason: str) -> None:
    refused: Any = None
    try:
        await call
    except httpx.HTTPStatusError as error:
        refused = error
    assert refused, "it was answered"
    assert refused.response.status_code == status
    assert reason in str(refused), refused


async def main(url: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v1", timeout=60)) as client:
        await check_v1(client, url)
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
        await check_v2(client, url)
    print("all answered as the protocol says")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
