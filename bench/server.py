"""The model server: what an image costs through it beside the bare function, and three times what it can do.

The bare function is the newest model in a loop, on one core. Through the server are the same images,
640 x 480, over V2 with binary data: as raw UINT8, and as JPEGs, as the worker sends them, beside decoding
and detecting.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import aiohttp
import cv2
import numpy as np
import orjson
import psutil
from numpy.typing import NDArray

from bench import events
from bench.load import Request, load
from bench.measure import OUT, Figure, Say, interleaved, median, percentile, ratio
from deploy.local.ports import free_ports
from deploy.local.ready import answers_ok
from deploy.local.service import Service
from deploy.local.supervise import running
from detector import models
from detector.images import decode

T = TypeVar("T")
SCENES = 24
ROUNDS = 5
SECONDS = 2.0
OVERLOAD_S = 6.0
CLIENTS = 8
BARE, ONE = "bare function", "through the server, one client"
BARE_FILE, ONE_FILE = "decode and bare function", "JPEG through the server, one client"
MANY = f"through the server, {CLIENTS} clients"
OVERLOAD = "three times what it can do"


class Round(NamedTuple):
    """Wall time an image, of all clients together, and the cores that were busy with it."""

    image_ms: float
    cores: float


@dataclass(frozen=True, slots=True)
class Overload:
    """Answers by status, and the times of those with circles."""

    statuses: Counter[int]
    latencies_ms: list[float] = field(repr=False)


def run(say: Say) -> list[Figure]:
    cv2.setNumThreads(1)  # as in the server
    say(f"rendering {SCENES} scenes")
    photographs = [events.photograph(seed) for seed in range(SCENES)]
    images, look = [decode(data) for data in photographs], models.find("circles").detect
    OUT.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/v2/models/circles/infer"
    with TemporaryDirectory(dir=OUT) as folder, running(Path(folder), model_server(port)) as supervisor:
        server = psutil.Process(supervisor.pids()["model"])
        requests = itertools.cycle([raw(url, image) for image in images])

        def many() -> Round:
            began, spent = time.perf_counter(), cpu_s(server)
            measured = load(requests, server, seconds=SECONDS, connections=CLIENTS)
            cores = (cpu_s(server) - spent) / (time.perf_counter() - began)
            return Round(1000 / measured.requests_per_s, cores)

        cases: dict[str, Callable[[], Round]] = {
            BARE: partial(in_a_loop, images, look),
            ONE: partial(one_client, port, requests),
            BARE_FILE: partial(in_a_loop, photographs, lambda data: look(decode(data))),
            ONE_FILE: partial(one_client, port, encoded(url, photographs)),
            MANY: many,
        }
        say("warming up")
        for case in cases.values():
            case()
        found = interleaved(ROUNDS, cases, say)
        took = {name: [one.image_ms for one in rounds] for name, rounds in found.items()}
        rate = 3 * 1000 / min(took[MANY])
        say(f"{rate:.0f} images a second for {OVERLOAD_S:g} s")
        flood = asyncio.run(overload(encoded(url, photographs), rate))
    return [
        median(BARE, "ms an image", took[BARE]),
        median(ONE, "ms an image", took[ONE]),
        ratio(ONE, took[ONE], took[BARE], BARE),
        median(BARE_FILE, "ms an image", took[BARE_FILE]),
        median(ONE_FILE, "ms an image", took[ONE_FILE]),
        ratio(ONE_FILE, took[ONE_FILE], took[BARE_FILE], BARE_FILE),
        median(MANY, "images/s", [1000 / ms for ms in took[MANY]]),
        median(f"{MANY}: server's CPU", "cores", [one.cores for one in found[MANY]]),
        *(count(status, seen) for status, seen in sorted(flood.statuses.items())),
        percentile(f"{OVERLOAD}: answers with circles", "ms", 99, [flood.latencies_ms]),
    ]


def in_a_loop(images: Sequence[T], look: Callable[[T], object]) -> Round:
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        look(images[done % SCENES])
        done += 1
    return Round((time.perf_counter() - began) * 1000 / done, 1)


def one_client(port: int, requests: Iterator[Request]) -> Round:
    """One after another over one connection, by the client of the standard library."""
    connection, done = http.client.HTTPConnection("127.0.0.1", port), 0
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        sent = next(requests)
        connection.request(sent.method, sent.url, sent.body, dict(sent.headers or {}))
        with connection.getresponse() as answer:
            said = answer.read()
        assert answer.status == sent.expected, said[:200]
        done += 1
    took = time.perf_counter() - began
    connection.close()
    return Round(took * 1000 / done, 1)


def cpu_s(server: psutil.Process) -> float:
    """Of the server and of the process in which it keeps what may crash."""
    family = [server, *server.children(recursive=True)]
    return sum(process.cpu_times().user + process.cpu_times().system for process in family)


def raw(url: str, image: NDArray[np.uint8]) -> Request:
    """Pixels as binary data."""
    return request(url, {"name": "image", "datatype": "UINT8", "shape": image.shape}, image.tobytes())


def encoded(url: str, photographs: list[bytes]) -> Iterator[Request]:
    """Files as binary data: smaller, so that in an overload the client is not what is slow."""
    tensor: dict[str, object] = {"name": "encoded", "datatype": "BYTES", "shape": [1]}
    files = [len(data).to_bytes(4, "little") + data for data in photographs]
    return itertools.cycle([request(url, tensor, file) for file in files])


def request(url: str, tensor: dict[str, object], data: bytes) -> Request:
    described = tensor | {"parameters": {"binary_data_size": len(data)}}
    head = orjson.dumps({"inputs": [described], "parameters": {"binary_data_output": True}})
    return Request("POST", url, headers={"Inference-Header-Content-Length": str(len(head))}, body=head + data)


async def overload(requests: Iterator[Request], rate: float) -> Overload:
    """Send at this rate, whatever comes back."""
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(sent: Request) -> None:
            began = time.perf_counter()
            async with session.post(sent.url, headers=sent.headers, data=sent.body) as answer:
                await answer.read()
            statuses[answer.status] += 1
            if answer.status == 200:
                latencies.append((time.perf_counter() - began) * 1000)

        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * OVERLOAD_S)):
                await asyncio.sleep(began + number / rate - asyncio.get_running_loop().time())
                group.create_task(one(next(requests)))
    return Overload(statuses, latencies)


def count(status: int, seen: int) -> Figure:
    return Figure(f"{OVERLOAD}: answers {status}", "answers", seen, seen, seen, 1)


def model_server(port: int, workers: int | None = None) -> Service:
    more = [] if workers is None else ["--workers", str(workers)]

    async def prepare() -> list[str]:
        return [sys.executable, "-m", "detector", "--port", str(port), *more]

    return Service("model", prepare, lambda: answers_ok(f"http://127.0.0.1:{port}/v2/health/ready"))
