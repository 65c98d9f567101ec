"""Whether a service serves."""

from __future__ import annotations

import asyncio

import httpx


async def accepts(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True


async def answers_ok(url: str) -> bool:
    """Whether a GET is answered with 200."""
    async with httpx.AsyncClient(timeout=2, trust_env=False) as client:  # a proxy must not see loopback
        try:
            return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
