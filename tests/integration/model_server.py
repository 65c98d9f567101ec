"""A KServe server that answers as a test says, in a thread of the test's own process."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

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


class ModelServer(ThreadingHTTPServer):
    """A KServe server whose answers wait until `release`, and are what `answer` says, or, where it says that
    all is well, what `of_image` makes of a request's path and image in base64.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.release, self.answer, self.calls = Event(), (200, CIRCLE), 0
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
        self._reply(200 if self.server.answer[0] == 200 else 503, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.calls += 1
        self.server.background += self.headers.get("priority") == "u=7"
        if self.server.held is None or base64.b64encode(self.server.held) in body:
            self.server.release.wait(30)
        self.server.now += 1
        self.server.most_at_once = max(self.server.most_at_once, self.server.now)
        time.sleep(self.server.takes_s)
        self.server.now -= 1
        status, answer = self.server.answer
        if self.server.of_image and status == 200:
            image = json.loads(body)["instances"][0]["image"]["b64"].encode()
            answer = self.server.of_image(self.path, image)
        self._reply(status, answer)

    def _reply(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the caller was killed, as the test wants

    def log_message(self, *_: object) -> None: ...


@contextmanager
def model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
