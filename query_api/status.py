"""Routes about the system itself: health, settings, and how far each stage is."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from confluent_kafka import KafkaException
from fastapi import APIRouter, Response
from pydantic import SecretStr

from query_api.errors import ViewUnavailable
from query_api.images import json
from query_api.view import View
from streams import progress
from streams.settings import Settings
from streams.topics import UPLOADED

WAIT_S = 3.0
KEEP_S = 1.0
"""How long one look at the log is used: the page asks often, for many viewers."""


class Log:
    """The ends of the topics and how far the detect stage has come, looked up at most once a second.

    With a plain consumer: librdkafka's AdminClient does not recover from a broker that went away, and can
    end the process (librdkafka issue 4605).
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer = progress.consumer(settings)
        self._looked = 0.0
        self._lock = asyncio.Lock()
        self._seen: dict[str, Any] | KafkaException = {}

    async def look(self) -> dict[str, Any]:
        """`{"ends": {topic: offset}, "detected": offset}`, each the sum over partitions.

        Raises KafkaException.
        """
        async with self._lock:
            if time.monotonic() - self._looked > KEEP_S:
                try:
                    self._seen = await asyncio.to_thread(self._look)
                except KafkaException as error:
                    self._seen = error  # so that not each request waits for what does not answer
                self._looked = time.monotonic()
        if isinstance(self._seen, KafkaException):
            raise self._seen
        return self._seen

    def _look(self) -> dict[str, Any]:
        seen = progress.look(self._consumer, WAIT_S)
        ends = Counter[str]()
        for (topic, _), end in seen.ends.items():
            ends[topic] += end
        uploads = progress.positions(seen, [UPLOADED.name], seen.detected)
        return {"ends": ends, "detected": sum(position.done for position in uploads)}


def routes(settings: Settings, view: View, kafka: Log) -> APIRouter:
    """The router over its parts."""
    router = APIRouter(tags=["system"])

    @router.get("/health")
    async def health() -> Response:
        """Whether the API serves, and whether what it needs answers."""
        parts = {"api": "ok", "view": "ok", "log": "ok"}
        try:
            await view.rows("folded")
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
    async def status() -> Response:
        """Counts of the view, and how many messages each stage is behind."""
        counts = (await view.rows("counts"))[0]
        folded = {row["topic"]: row["next_offset"] for row in await view.rows("folded")}
        try:
            seen = await kafka.look()
            behind = {
                "detect": seen["ends"][UPLOADED.name] - seen["detected"],
                "view": sum(seen["ends"].values()) - sum(folded.values()),
            }
        except KafkaException:
            behind = {"detect": None, "view": None}
        stages = [{"stage": stage, "lag": lag and max(lag, 0)} for stage, lag in behind.items()]
        return json({**counts, "stages": stages})

    return router


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else ""
    if isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
    return value if isinstance(value, int | float | str | bool | None) else str(value)
