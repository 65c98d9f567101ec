"""The upload gateway: image bytes to object storage, then their event to the log."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import NamedTuple, Self
from uuid import UUID

import uuid_utils.compat as uuids
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from detector.images import Inspected, inspect
from streams.codec import Codec
from streams.errors import LogUnavailable
from streams.headers import cloud_event_headers
from streams.ingest.claims import Claims
from streams.records import ImageUploaded, key_of
from streams.settings import Settings
from streams.store import Store
from streams.topics import UPLOADED

EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class Accepted(NamedTuple):
    """An image that was taken in, and where its event is on `images.uploaded`."""

    image_id: UUID
    partition: int
    offset: int


class Gateway:
    """Takes uploads in: claim, store, send, each finished before the next. Use as a context manager."""

    def __init__(self, settings: Settings, codec: Codec, store: Store, claims: Claims) -> None:
        self._settings = settings
        self._codec = codec
        self._store = store
        self._claims = claims
        self._producer: AIOKafkaProducer

    async def __aenter__(self) -> Self:
        # Not idempotent: a repeated event has the same image id, which the view takes once, and an
        # idempotent producer can fail for good when its broker dies.
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka_bootstrap_servers,
            acks="all",
            request_timeout_ms=10_000,
            retry_backoff_ms=100,
        )
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def accept(
        self,
        data: bytes,
        *,
        project_id: str = "default",
        source_id: str = "",
        captured_at: datetime | None = None,
        attributes: dict[str, str] | None = None,
        traceparent: bytes | None = None,
    ) -> Accepted:
        """Take one image in; returns once object storage and all in-sync replicas of the log have it.

        Raises InvalidImage, DuplicateImage, StoreUnavailable, LogUnavailable, CatalogUnavailable; then the
        same bytes may be sent again.
        """
        facts, sha256 = await asyncio.to_thread(self._examined, data)
        async with self._claims.hold(project_id, sha256, uuids.uuid7()) as image_id:
            now = datetime.now(UTC)
            event = ImageUploaded(
                event_id=uuids.uuid4(),
                image_id=image_id,
                project_id=project_id,
                source_id=source_id,
                uri=await self._store.put(f"{image_id}.{EXTENSIONS[facts.content_type]}", data),
                sha256=sha256,
                content_type=facts.content_type,
                width=facts.width,
                height=facts.height,
                size_bytes=len(data),
                captured_at=captured_at,
                uploaded_at=now,
                attributes=attributes or {},
            )
            sent = await self._send(event, traceparent)
        return Accepted(image_id, sent.partition, sent.offset)

    def _examined(self, data: bytes) -> tuple[Inspected, str]:
        """What the image is, and its SHA-256. Raises InvalidImage."""
        facts = inspect(data, self._settings.max_image_pixels, decode=True)
        return facts, hashlib.sha256(data).hexdigest()

    async def _send(self, event: ImageUploaded, traceparent: bytes | None) -> RecordMetadata:
        try:
            return await self._producer.send_and_wait(
                UPLOADED.name,
                self._codec.encode(event),
                key=key_of(event),
                headers=cloud_event_headers(event, traceparent),
            )
        except KafkaError as error:
            raise LogUnavailable(f"Kafka does not acknowledge: {type(error).__name__}") from error
