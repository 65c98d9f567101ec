"""Whether requests should be sent to an API: each dependency by name, over real ones and over none."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from query_api import health
from query_api.status import Log
from query_api.stopping import Stopping
from query_api.view.reading import View
from streams import lake
from streams.ingest.claims import Claims, claims_pool
from streams.settings import Settings
from streams.store import Store

NOWHERE = "127.0.0.1:1"


def asked(settings: Settings, *paths: str, stopping: Stopping | None = None) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        pool = claims_pool(settings.catalog_url.get_secret_value())
        claims, store = Claims(pool), Store(settings.objects_url, 1_000_000)
        app = FastAPI()
        app.include_router(
            health.routes(claims, store, View(settings), Log(settings), stopping or Stopping())
        )
        async with (
            pool,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client,
        ):
            if settings.catalog_url.get_secret_value().count(NOWHERE) == 0:
                await claims.create()
            return [await client.get(path) for path in paths]

    return asyncio.run(ask())


ALL = {"catalog": "ok", "view": "ok", "log": "ok", "store": "ok"}


def test_with_all_it_needs_it_is_ready(settings: Settings) -> None:
    lake.create(settings)
    live, ready = asked(settings, "/health/live", "/health/ready")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "parts": ALL})


def test_told_to_stop_it_is_not(settings: Settings) -> None:
    lake.create(settings)
    stopping = Stopping()
    stopping.told = True
    live, ready = asked(settings, "/health/live", "/health/ready", stopping=stopping)
    assert (live.status_code, ready.status_code) == (200, 503)
    assert ready.json() == {"status": "stopping", "parts": ALL}


@pytest.mark.parametrize(
    ("more", "status", "said", "missing"),
    [
        ({"kafka_bootstrap_servers": NOWHERE}, 200, "degraded", {"log"}),
        ({"storage_url": "s3://bucket/prefix"}, 200, "degraded", {"store"}),
        ({"catalog_url": SecretStr(f"postgresql://{NOWHERE}/x")}, 503, "unready", {"catalog", "view"}),
    ],
    ids=["Kafka", "store", "PostgreSQL"],
)
def test_what_is_away_is_named(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
    status: int,
    said: str,
    missing: set[str],
) -> None:
    lake.create(settings)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{NOWHERE}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    live, ready = asked(settings.model_copy(update=more), "/health/live", "/health/ready")
    assert (live.status_code, ready.status_code) == (200, status)
    assert ready.json() == {
        "status": said,
        "parts": ALL | dict.fromkeys(missing, "unavailable"),
    }
