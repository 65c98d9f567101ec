"""A caller who asks and goes away."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp


async def leave(
    app: ASGIApp, method: str, path: str, *, after_s: float, query: bytes = b"", body: bytes = b""
) -> list[Any]:
    """Ask, and go away after some time; what was sent all the same."""
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.sleep(after_s)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query,
        "headers": [], "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1),
        "server": ("a", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    return sent
