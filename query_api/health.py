"""Whether this process lives, and whether requests should be sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from confluent_kafka import KafkaException
from fastapi import APIRouter, Response

from query_api.answers import json
from query_api.errors import ViewUnavailable
from query_api.status import Log
from query_api.stopping import Stopping
from query_api.view.reading import View
from streams.errors import CatalogUnavailable
from streams.ingest.claims import Claims
from streams.store import Store

WAIT_S = 4.0
NEEDED = "view"
"""Without it nothing can be answered. Without the others reads can, and uploads say 503."""
AWAY = (CatalogUnavailable, KafkaException, ViewUnavailable, TimeoutError)


def routes(claims: Claims, store: Store, view: View, kafka: Log, stopping: Stopping) -> APIRouter:
    """The router over its parts."""
    router = APIRouter(tags=["system"])

    async def catalog() -> object:
        return await claims.accepted(UUID(int=0))

    async def folded() -> object:
        # With a window it answers without the catalog, too: what it knew last, and how old that is.
        return view.window or await view.lake_rows("folded")

    async def stored() -> object:
        if not await store.ready():
            raise TimeoutError
        return None

    parts: dict[str, Callable[[], Awaitable[object]]] = {
        "catalog": catalog, "view": folded, "log": kafka.look, "store": stored,
    }  # fmt: skip

    @router.get("/health/live")
    async def live() -> Response:
        """That the process answers; it is asked for nothing else."""
        return json({"status": "live"})

    @router.get("/health/ready")
    async def ready() -> Response:
        """What of its dependencies answers; 503 without one that everything needs, or when stopping."""
        found = await asyncio.gather(*(_answers(ask) for ask in parts.values()))
        said = dict(zip(parts, found, strict=True))
        missing = {name for name, answers in said.items() if not answers}
        status = "degraded" if missing else "ready"
        if stopping.told or NEEDED in missing:
            status = "stopping" if stopping.told else "unready"
        told = {name: "ok" if answers else "unavailable" for name, answers in said.items()}
        answered = 503 if status in ("stopping", "unready") else 200
        return json({"status": status, "parts": told}, answered, {"Cache-Control": "no-store"})

    return router


async def _answers(ask: Callable[[], Awaitable[object]]) -> bool:
    try:
        await asyncio.wait_for(ask(), WAIT_S)
    except AWAY:
        return False
    return True
