"""A KServe server that answers as a test says, in a thread of the test's own process."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

CIRCLE = (
    b'{"predictions": [{"bounding_box": {"xmin": 1, "ymin": 1, "xmax": 3, "ymax": 3}, '
    b'"centroid": {"x": 2, "y": 2}, "radius": {"radius": 1}, "label": "circle", "score": 0.5}]}'
)


class ModelServer(ThreadingHTTPServer):
    """A KServe server whose answers wait until `release`, and are what `answer` says."""

    daemon_threads = True

    def __init__(self) -> None:
        self.release, self.answer, self.calls = Event(), (200, CIRCLE), 0
        self.takes_s = 0.0
        self.now = self.most_at_once = 0
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
        if self.server.held is None or base64.b64encode(self.server.held) in body:
            self.server.release.wait(30)
        self.server.now += 1
        self.server.most_at_once = max(self.server.most_at_once, self.server.now)
        time.sleep(self.server.takes_s)
        self.server.now -= 1
        self._reply(*self.server.answer)

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
