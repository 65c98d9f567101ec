"""Routes about the system itself: health, settings, and how far each stage is."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import duckdb
from confluent_kafka import KafkaException
from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from query_api.access.caller import calling
from query_api.answers import json
from query_api.errors import ViewUnavailable
from query_api.view.questions import Question
from query_api.view.reading import View
from streams import progress, standing
from streams.errors import LakeRefused
from streams.settings import Settings

WAIT_S = 3.0
KEEP_S = 1.0
"""How long one look at the log is used: the page asks often, for many viewers."""


class Log:
    """Whether Kafka answers, asked at most once a second.

    With a plain consumer: librdkafka's AdminClient does not recover from a broker that went away, and can
    end the process (librdkafka issue 4605).
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer = progress.consumer(settings)
        self._looked = 0.0
        self._lock = asyncio.Lock()
        self._away: KafkaException | None = None

    async def look(self) -> None:
        """Raises KafkaException."""
        async with self._lock:
            if time.monotonic() - self._looked > KEEP_S:
                self._away = None
                try:
                    await asyncio.to_thread(progress.look, self._consumer, WAIT_S)
                except KafkaException as error:
                    self._away = error  # so that not each request waits for what does not answer
                self._looked = time.monotonic()
        if self._away:
            raise self._away


class Standing:
    """What `circles status` shows, looked up at most every other second."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looked = float("-inf")
        self._lock = asyncio.Lock()
        self._seen: dict[str, Any] = {}

    async def look(self) -> dict[str, Any]:
        """As `circles status --json`, without numbers where Kafka or PostgreSQL is away.

        Raises ViewUnavailable.
        """
        async with self._lock:
            if time.monotonic() - self._looked > 2 * KEEP_S:
                self._seen = await asyncio.to_thread(self._look)
                self._looked = time.monotonic()
        return self._seen

    def _look(self) -> dict[str, Any]:
        try:
            return standing.as_object(*standing.look(self._settings))
        except ValueError as error:
            stages = [{"stage": stage, "lag": None} for stage in ("detect", "materialize")]
            return {"at": datetime.now(UTC), "last_commit": None, "said": [str(error)], "stages": stages}
        except (duckdb.Error, LakeRefused) as error:
            raise ViewUnavailable("the view's catalog or file store does not answer") from error


def routes(settings: Settings, view: View, kafka: Log) -> APIRouter:
    """The router over its parts."""
    router, ours = APIRouter(tags=["system"]), Standing(settings)

    @router.get("/health")
    async def health() -> Response:
        """Whether the API serves, and whether what it needs answers."""
        parts = {"api": "ok", "view": "ok", "log": "ok"}
        try:
            await view.lake_rows("folded")
        except ViewUnavailable:
            parts["view"] = "unavailable"
        try:
            await kafka.look()
        except KafkaException:
            parts["log"] = "unavailable"
        status = "ok" if set(parts.values()) == {"ok"} else "degraded"
        return json(
            {"status": status, "environment": settings.environment, "mode": settings.mode, "parts": parts}
        )

    @router.get("/config")
    async def config() -> Response:
        """The settings in force, without secrets."""
        return json({name: _shown(getattr(settings, name)) for name in sorted(Settings.model_fields)})

    @router.get("/status")
    async def status(request: Request) -> Response:
        """Counts of the view, and what `circles status` shows: how far each stage is, and who is behind."""
        project = calling(request).project
        if project is not None:  # how far the stages are is everyone's
            (ours_alone,) = await view.rows(Question("project_counts", order="").within(project))
            return json({**ours_alone, "stages": []})
        counts = (await view.lake_rows("counts"))[0]
        return json({**counts, **await ours.look()})

    return router


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else ""
    if isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
    return value if isinstance(value, int | float | str | bool | None) else str(value)
