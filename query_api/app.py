"""The API, put together: one place builds all of its parts from the settings."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.resources import files
from socket import socket

from aiokafka.errors import KafkaError
from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware

from query_api import (
    batch,
    changes,
    document,
    errors,
    ground_truth,
    health,
    images,
    listing,
    metrics,
    pictures,
    promotions,
    replays,
    serving,
    statistics,
    status,
    uploads,
)
from query_api.access.callers import Callers, Rates
from query_api.access.guard import Guard
from query_api.access.rules import Table, describe
from query_api.access.seal import Seal
from query_api.answers import READ_FROM
from query_api.comparing import route as comparing
from query_api.comparing.asking import Comparisons
from query_api.head import Head
from query_api.lookup import Lookup
from query_api.moments import HEADER, afters, moments
from query_api.observe import Observe, access_log
from query_api.processes import Processes
from query_api.sorting import Cursors
from query_api.sql import route as sql
from query_api.sql.asking import Asking
from query_api.status import Log
from query_api.stopping import Stopping
from query_api.turns import Turns
from query_api.view.follower import Follower
from query_api.view.history import History
from query_api.view.reading import View
from query_api.view.recent import Recent
from query_api.view.waiting import Waiting
from streams import lake
from streams.codec import Codec
from streams.ingest import orphans
from streams.ingest.claims import Claims, claims_pool
from streams.ingest.log import LogWriter
from streams.ingest.upload import Gateway
from streams.live_view import LiveView
from streams.process import configure_logging
from streams.settings import Settings
from streams.store import Store

ABOUT = "Images in, circles out: uploads, their circles, and how far the flow is."


def create_app(settings: Settings) -> FastAPI:
    """The FastAPI app; it connects to PostgreSQL and Kafka when it starts."""
    settings.require("kafka_bootstrap_servers", "catalog_url")
    pool = claims_pool(settings.catalog_url.get_secret_value())
    claims, store, view = Claims(pool), Store(settings.objects_url, settings.max_upload_size), View(settings)
    waiting, cursors, seal, stopping = Waiting(), Cursors(), Seal(), Stopping()
    callers = Callers(settings, seal) if settings.auth == "on" else None
    recent, history = Recent(), History(settings)
    follower = Follower(settings, view, waiting, recent)
    passed = afters(waiting, seal, stopping, settings.after_wait_s)
    moment = moments(view, passed)
    lookup = Lookup(claims, view)
    turns = Turns(settings.uploads_at_once, settings.uploads_waiting)
    measured, kafka = metrics.Metrics(turns), Log(settings)
    asking, comparisons = Asking(settings, stopping), Comparisons(settings, stopping)
    writing = LogWriter(settings, Codec.from_url(settings.schema_registry_url))
    gateway = Gateway(settings, writing, store, claims)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(lake.create, settings)
        async with pool:
            await claims.create()
            await cursors.share(pool)
            async with writing, callers or nullcontext():
                follower.start()
                if settings.query_by_sql:
                    asking.ahead.prepare()
                sweeping = asyncio.create_task(orphans.keep_swept(settings, store))
                yield
                sweeping.cancel()
                await follower.stop()
                await history.close()
                await asking.ahead.close()
                await comparisons.ahead.close()

    app = FastAPI(title="circles", description=ABOUT, lifespan=lifespan)
    app.state.stopping = stopping
    errors.install(app)
    app.include_router(images.routes(lookup, view, moment))  # first, as it is asked most
    app.include_router(uploads.routes(settings, gateway, view, waiting, seal, turns, stopping))
    app.include_router(listing.routes(view, cursors, moment))
    app.include_router(statistics.routes(view, moment))
    app.include_router(batch.routes(settings, view, moment))
    app.include_router(pictures.routes(settings, store, lookup, moment))
    app.include_router(ground_truth.routes(settings, lookup, view, writing, seal, turns, passed, moment))
    app.include_router(sql.routes(settings, view, asking, moment))
    app.include_router(changes.routes(view, recent, history, seal, stopping, settings.streams_at_once))
    seldom = LiveView(settings)
    app.include_router(replays.routes(settings, seldom, stopping))
    app.include_router(promotions.routes(settings, seldom, comparisons, seal))
    app.include_router(comparing.routes(settings, view, comparisons, moment))
    app.include_router(status.routes(settings, view, kafka))
    app.include_router(health.routes(claims, store, view, kafka, stopping))
    app.include_router(metrics.routes(measured))
    app.add_middleware(Guard, callers=callers, rates=Rates(settings.rate_limit), table=Table())
    if settings.cors_origins:
        app.add_middleware(  # before the guard: a browser asks without a key what it may ask with one
            CORSMiddleware,
            allow_origins=settings.cors_origins.split(","),
            allow_methods=["GET", "POST", "PUT"],
            allow_headers=["Authorization", "X-API-Key", "Last-Event-ID"],
            expose_headers=[HEADER, *READ_FROM, "Location", "Retry-After", "X-Request-ID"],
        )
    app.add_middleware(Head)
    app.add_middleware(Observe, metrics=measured, write=access_log(settings))  # around all others
    page = files("query_api").joinpath("web/index.html").read_bytes()

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, media_type="text/html")

    if callers:
        describe(app)
    document.complete(app)
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
            "could read and upload. Set AUTH=on and make a key with `circles keys create`, or "
            "API_HOST=127.0.0.1, or API_ALLOW_REMOTE=1 behind something that authenticates"
        )


def main() -> None:
    """The process, or several (API_PROCESSES): serve until SIGTERM or SIGINT."""
    settings = Settings.load()
    configure_logging(settings)
    if settings.auth == "off" and not settings.api_allow_remote:
        refuse_open_host(settings.api_host)
    elif settings.auth == "on" and not settings.tls_cert_file:
        logging.getLogger(__name__).warning("without TLS_CERT_FILE whoever is on the way can read the keys")
    if settings.api_processes == 1:
        serve(settings)
    else:
        sys.exit(Processes(settings, serve).keep())


def serve(settings: Settings, listening: socket | None = None) -> None:
    """Serve in this process. listening: the socket that it shares with others; None: one of its own."""
    configure_logging(settings)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    try:
        serving.run(create_app(settings), settings, listening)
    except KafkaError as error:
        raise SystemExit(f"Kafka does not answer: {error}") from error
