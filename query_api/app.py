"""The API, put together: one place builds all of its parts from the settings."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import uvicorn
from aiokafka.errors import KafkaError
from fastapi import Depends, FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware

from query_api import errors, images, status, uploads
from query_api.positions import HEADER, passing
from query_api.status import Log
from query_api.view import View
from query_api.waiting import Waiting
from streams import lake
from streams.codec import Codec
from streams.ingest.claims import Claims, claims_pool
from streams.ingest.upload import Gateway
from streams.process import configure_logging
from streams.settings import Settings
from streams.store import Store

ABOUT = "Images in, circles out: uploads, their circles, and how far the flow is."


def create_app(settings: Settings) -> FastAPI:
    """The FastAPI app; it connects to PostgreSQL and Kafka when it starts."""
    settings.require("kafka_bootstrap_servers", "catalog_url")
    pool = claims_pool(settings.catalog_url.get_secret_value())
    claims, store, view = Claims(pool), Store(settings.objects_url, settings.max_upload_size), View(settings)
    waiting = Waiting(settings, view)
    after = [Depends(passing(waiting, settings.after_wait_s))]

    gateway = Gateway(settings, Codec.from_url(settings.schema_registry_url), store, claims)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(lake.create, settings)
        async with pool:
            await claims.create()
            async with gateway:
                yield

    app = FastAPI(title="circles", description=ABOUT, lifespan=lifespan)
    errors.install(app)
    app.include_router(uploads.routes(settings, gateway, view, waiting))
    app.include_router(images.routes(claims, store, view), dependencies=after)
    app.include_router(status.routes(settings, view, Log(settings)))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins.split(","),
            allow_methods=["GET", "POST"],
            expose_headers=[HEADER, "Location", "Retry-After"],
        )
    page = files("query_api").joinpath("web/index.html").read_bytes()

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, media_type="text/html")

    return app


def refuse_open_host(host: str) -> None:
    """Raise SystemExit unless `host` is loopback: without authentication nothing listens beyond it."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False  # a name may come to mean any address
    if not loopback:
        raise SystemExit(
            f"API_HOST={host} is not loopback and no authentication is configured: anyone who reaches it "
            "could read and upload. Set API_HOST=127.0.0.1, or API_ALLOW_REMOTE=1 behind something that "
            "authenticates"
        )


def main() -> None:
    """The process: serve until SIGTERM or SIGINT."""
    settings = Settings.load()
    configure_logging(settings)
    if not settings.api_allow_remote:
        refuse_open_host(settings.api_host)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    try:
        uvicorn.run(
            create_app(settings),
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            access_log=settings.debug,
            timeout_graceful_shutdown=5,
        )
    except KafkaError as error:
        raise SystemExit(f"Kafka does not answer: {error}") from error
