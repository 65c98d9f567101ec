"""The server process: connections whose requests begin in time, and an end that lets work under way end."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streams.settings import Settings

HEAD_S = 10.0
"""From a connection, or the first byte of its next request, to the end of that request's head."""
HEAD_BYTES = 65_536
"""Of a request's line and headers, which are kept in memory."""
HANDOVER_S = 0.0005
"""How long another thread of this process may go on once a request came: at Python's 5 ms, and one
handover for each read and write of a socket, what the follower does in passing made requests wait 50 ms."""
FINISH_S = 10
"""For requests under way once no new ones are taken; then they are cut."""


class Connection(HttpToolsProtocol):
    """uvicorn's, which waits for a request's head for ever, however long it is."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head_bytes, self._in_body = 0, False
        self._late = self.loop.call_later(HEAD_S, self._refuse, b"408 Request Timeout")

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            self._head_bytes += len(data)
            if self._late.cancelled():
                self._late = self.loop.call_later(HEAD_S, self._refuse, b"408 Request Timeout")
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        self._late.cancel()
        self._head_bytes, self._in_body = 0, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._late.cancel()
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._in_body:  # what else comes of it is thrown away, but not for ever
            self._late = self.loop.call_later(HEAD_S, self.transport.close)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        super().connection_lost(exc)

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
            self.transport.close()


class Server(uvicorn.Server):
    """Told to stop it first says so for `drain_s`, so that nobody is sent here who would find nobody."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_s: float) -> None:
        super().__init__(config)
        self._app, self._drain_s = app, drain_s
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: Any = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal does not wait."""
        first = not self._captured_signals
        assert self._loop
        self._loop.call_soon_threadsafe(self._app.state.stopping.tell)
        if first and self._drain_s:
            self._captured_signals.append(sig)
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_s, self._leave)
        else:
            super().handle_exit(sig, frame)

    def _leave(self) -> None:
        self.should_exit = True


def headers(*, tls: bool) -> list[tuple[str, str]]:
    """What every answer carries for browsers. The page adds a policy of its own, and both hold."""
    always = [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        (
            "Content-Security-Policy",
            "frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action 'none'",
        ),
    ]
    return [*always, ("Strict-Transport-Security", "max-age=31536000")] if tls else always


def run(app: FastAPI, settings: Settings, listening: socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on a socket of its own or on a given one.

    Raises SystemExit 3 where it could not start.
    """
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        http=Connection,
        log_config=None,
        access_log=False,  # ours has more
        # Of the server, not a layer of the app: that costs nothing, and its own errors have them, too.
        headers=headers(tls=bool(settings.tls_cert_file)),
        server_header=False,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
        timeout_graceful_shutdown=FINISH_S,
    )
    sys.setswitchinterval(HANDOVER_S)
    server = Server(config, app, settings.drain_s)
    with suppress(KeyboardInterrupt):
        server.run([listening] if listening else None)
    if not server.started:
        sys.exit(3)
