"""HEAD (RFC 9110): a GET whose answer has no body. The server leaves the body away; routes see a GET."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Around all that looks at the method but the access log, which says what was asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def headers_only(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:  # a stream is over with its first event: then its route hears that nobody listens
                ended = True
                await send({"type": "http.response.body", "body": b""})

        as_get = {**scope, "method": "GET"}
        await self._app(as_get, receive, headers_only)
        scope["route"] = as_get.get("route")  # for the metrics
