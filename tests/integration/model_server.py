"""A KServe server that answers as a test says, in a thread of the test's own process."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import numpy as np

from streams.kserve_v2 import JSON_LENGTH

CIRCLE = (
    b'{"predictions": [{"bounding_box": {"xmin": 1, "ymin": 1, "xmax": 3, "ymax": 3}, '
    b'"centroid": {"x": 2, "y": 2}, "radius": {"radius": 1}, "label": "circle", "score": 0.5}]}'
)


def circles_of(told: bytes) -> bytes:
    """An answer of none to five circles, the same for the same bytes."""
    digest = hashlib.sha256(told).digest()
    found = []
    for x, y, size in zip(digest[1:6], digest[6:11], digest[11 : 11 + digest[0] % 6], strict=False):
        radius = 1 + size / 32
        found.append(
            {
                "bounding_box": {
                    "xmin": x - radius, "ymin": y - radius, "xmax": x + radius, "ymax": y + radius,
                },
                "centroid": {"x": x, "y": y},
                "radius": {"radius": radius},
                "label": "circle",
                "score": size / 255,
            }
        )  # fmt: skip
    return json.dumps({"predictions": found}).encode()


METADATA = {
    "inputs": [{"name": "encoded", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [
        {"name": "circles", "datatype": "FP32", "shape": [-1, 11]},
        {"name": "counts", "datatype": "INT64", "shape": [-1]},
    ],
}
"""Of a model that takes several images in a request of V2."""


class ModelServer(ThreadingHTTPServer):
    """A KServe server whose answers wait until `release`, and are what `answer` says, or, where it says that
    all is well, what `of_image` makes of a request's path and image in base64.

    By V1, or where `speaks_v2` by V2 with as many images in a request as come; `calls` counts images,
    `refused` requests that were told to come later, also those that only ask what the model takes.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.release, self.answer = Event(), (200, CIRCLE)
        self.calls = self.refused = 0
        self.speaks_v2, self.most_images = False, 0
        self.background = 0
        """Of the calls those that say that all others come first."""
        self.takes_s = 0.0
        self.now = self.most_at_once = 0
        self.of_image: Callable[[str, bytes], bytes] | None = None
        self.held: bytes | None = None  # the only image that waits, where one is named
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        if self.path.startswith("/v2/") and not self.server.speaks_v2:
            self._reply(404, b"{}")
            return
        self._reply(200 if self.server.answer[0] == 200 else 503, json.dumps(METADATA).encode())

    def do_POST(self) -> None:
        images = self._images(self.rfile.read(int(self.headers["content-length"])))
        self.server.calls += len(images)
        self.server.most_images = max(self.server.most_images, len(images))
        if self.headers.get("priority") == "u=7":
            self.server.background += len(images)
        if self.server.held is None or base64.b64encode(self.server.held) in images:
            self.server.release.wait(30)
        self.server.now += len(images)
        self.server.most_at_once = max(self.server.most_at_once, self.server.now)
        time.sleep(self.server.takes_s * len(images))
        self.server.now -= len(images)
        status, answer = self.server.answer
        answers = [answer] * len(images)
        if self.server.of_image and status == 200:
            answers = [self.server.of_image(self.path, image) for image in images]
        if status == 200 and self.path.startswith("/v2/"):
            self._reply(status, *as_v2(answers))
        else:
            self._reply(status, answers[0])

    def _images(self, body: bytes) -> list[bytes]:
        """Those of a request, in base64."""
        if not self.path.startswith("/v2/"):
            return [instance["image"]["b64"].encode() for instance in json.loads(body)["instances"]]
        images, start = [], int(self.headers[JSON_LENGTH])
        while start < len(body):
            end = start + 4 + int.from_bytes(body[start : start + 4], "little")
            images.append(base64.b64encode(body[start + 4 : end]))
            start = end
        return images

    def _reply(self, status: int, body: bytes, json_length: int | None = None) -> None:
        self.server.refused += status == 503
        try:
            self.send_response(status)
            if json_length is not None:
                self.send_header(JSON_LENGTH, str(json_length))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the caller was killed, as the test wants

    def log_message(self, *_: object) -> None: ...


def as_v2(answers: Sequence[bytes]) -> tuple[bytes, int]:
    """Answers of V1 as one of V2: its body, and the length of its JSON."""
    found = [json.loads(answer)["predictions"] for answer in answers]
    rows = [
        (
            *(circle["centroid"][name] for name in "xy"), circle["radius"]["radius"], circle["score"],
            *(circle["bounding_box"][name] for name in ("xmin", "ymin", "xmax", "ymax")),
            circle["radius"]["radius"], circle["radius"]["radius"], 0,
        )
        for circles in found for circle in circles
    ]  # fmt: skip
    circles = np.array(rows, "<f4").reshape(-1, 11)
    counts = np.array([len(circles) for circles in found], "<i8")
    outputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": array.shape,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, datatype, array in (("circles", "FP32", circles), ("counts", "INT64", counts))
    ]
    head = json.dumps({"outputs": outputs}).encode()
    return head + circles.tobytes() + counts.tobytes(), len(head)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
