"""`python -m bench.soak [IMAGES]`: 20,000 images through one running server, most of them hostile.

Textures, scenes and damaged files, over V1, V2 and gRPC. It fails when the server's process ends,
when an answer is neither circles nor a refusal of the file, or when the server's memory grew by
more than a tenth from the second quarter to the last. Figures go to bench/out/soak.json.
"""

from __future__ import annotations

import asyncio
import base64
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import cv2
import grpc
import numpy as np
import orjson
import psutil
from rich.console import Console

from bench.hostile import Sent, made
from bench.measure import OUT, Figure, keep, median, show
from deploy.local.ports import free_ports
from deploy.local.ready import answers_ok
from deploy.local.service import Service
from deploy.local.supervise import Supervisor, running
from detector import models
from detector.models import Model
from detector.serving import grpc_predict_v2_pb2 as pb
from detector.serving.grpc_server import NAME

IMAGES = 20_000
AT_ONCE = 4
LOOKS = 40
"""At the server's memory."""
MOST_GROWTH = 1.1
CRASHED = 500
"""From a model that may crash: its process ended twice at this image, the server did not."""

VERSIONS = [model for model in models.MODELS if model.name == "circles"]

Send = Callable[[Model, Sent], Awaitable[int]]


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    OUT.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    http, grpc_port = free_ports(2)
    with TemporaryDirectory(dir=OUT) as folder, running(Path(folder), served(http, grpc_port)) as supervisor:
        soak = Soak(supervisor, images)
        asyncio.run(soak.run(f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc_port}"))
    show("soak", soak.figures(), Console())
    keep("soak", soak.figures(), time.monotonic() - began)
    sys.exit("\n".join(soak.faults[:20]) or None)


def served(http: int, grpc_port: int) -> Service:
    async def prepare() -> list[str]:
        return [sys.executable, "-m", "detector", "--port", str(http), "--grpc-port", str(grpc_port)]

    return Service("model", prepare, lambda: answers_ok(f"http://127.0.0.1:{http}/v2/health/ready"))


class Soak:
    """What came back, and how the server fared."""

    def __init__(self, supervisor: Supervisor, images: int) -> None:
        self._images = images
        self._supervisor = supervisor
        self._server = psutil.Process(supervisor.pids()["model"])
        self._answers: Counter[int] = Counter()
        self._memory_mb: list[float] = []
        self.faults: list[str] = []

    async def run(self, url: str, address: str) -> None:
        numbers = iter(range(self._images))
        async with aiohttp.ClientSession(url) as session, grpc.aio.insecure_channel(address) as channel:
            ways = [v1(session), v2(session), over_grpc(channel)]
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._one_client(numbers, ways))
        if self._supervisor.pids().get("model") != self._server.pid:
            self.faults.append("the server's process ended")
        if self.growth() > MOST_GROWTH:
            self.faults.append(f"the server's memory grew {self.growth():.2f} times")

    async def _one_client(self, numbers: Iterator[int], ways: list[Send]) -> None:
        for number in numbers:
            random = np.random.default_rng(number)
            sent = await asyncio.to_thread(made, random)
            model = VERSIONS[random.integers(len(VERSIONS))]
            status = await ways[random.integers(len(ways))](model, sent)
            self._answers[status] += 1
            right = {200} | ({400, 422} if sent.file else set()) | ({CRASHED} if model.may_crash else set())
            if status not in right:
                self.faults.append(f"image {number} to {model.name}:{model.version} was answered {status}")
            if number % max(1, self._images // LOOKS) == 0:
                self._look(number)

    def _look(self, number: int) -> None:
        self._memory_mb.append(self._server.memory_info().rss / 1e6)
        sys.stderr.write(f"{number:6} images, {self._memory_mb[-1]:.0f} MB, answers {dict(self._answers)}\n")

    def growth(self) -> float:
        quarter = max(1, len(self._memory_mb) // 4)
        early, late = self._memory_mb[quarter : 2 * quarter], self._memory_mb[-quarter:]
        return statistics.median(late) / statistics.median(early or late)

    def figures(self) -> list[Figure]:
        return [
            *(median(f"answers {status}", "answers", [n]) for status, n in sorted(self._answers.items())),
            median("the server's memory", "MB", self._memory_mb),
            Figure("its last quarter", "ratio", self.growth(), self.growth(), self.growth(), 1, "its second"),
        ]


def v1(session: aiohttp.ClientSession) -> Send:
    async def send(model: Model, sent: Sent) -> int:
        encoded = base64.b64encode(file_of(sent)).decode()
        body = orjson.dumps({"instances": [{"image": {"b64": encoded}}], "parameters": {"min_score": 0}})
        path = f"/v1/models/{model.name}/versions/{model.version}:predict"
        async with session.post(path, data=body) as answer:
            await answer.read()
            return answer.status

    return send


def v2(session: aiohttp.ClientSession) -> Send:
    async def send(model: Model, sent: Sent) -> int:
        name, datatype, shape, data = tensor_of(sent)
        about = {"binary_data_size": len(data)}
        tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": about}
        head = orjson.dumps({"inputs": [tensor]})
        path = f"/v2/models/{model.name}/versions/{model.version}/infer"
        length = {"Inference-Header-Content-Length": str(len(head))}
        async with session.post(path, data=head + data, headers=length) as answer:
            await answer.read()
            return answer.status

    return send


def over_grpc(channel: grpc.aio.Channel) -> Send:
    infer: Any = channel.unary_unary(f"/{NAME}/ModelInfer")

    async def send(model: Model, sent: Sent) -> int:
        name, datatype, shape, data = tensor_of(sent)
        request = pb.ModelInferRequest(model_name=model.name, model_version=model.version)
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(data)
        try:
            await infer(request.SerializeToString())
        except grpc.aio.AioRpcError as error:
            return 400 if error.code() is grpc.StatusCode.INVALID_ARGUMENT else CRASHED
        return 200

    return send


def file_of(sent: Sent) -> bytes:
    return sent.file if sent.pixels is None else cv2.imencode(".png", sent.pixels)[1].tobytes()


def tensor_of(sent: Sent) -> tuple[str, str, list[int], bytes]:
    if sent.pixels is None:
        return "encoded", "BYTES", [1], len(sent.file).to_bytes(4, "little") + sent.file
    return "image", "UINT8", list(sent.pixels.shape), sent.pixels.tobytes()


if __name__ == "__main__":
    main()
