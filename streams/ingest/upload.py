"""The upload gateway: image bytes to object storage, then their event to the log."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import uuid_utils.compat as uuids

from detector.images import Inspected, inspect, inspect_segments
from streams.ingest.claims import Claims
from streams.ingest.log import LogWriter
from streams.records import ImageUploaded
from streams.settings import Settings
from streams.store import Store
from streams.topics import UPLOADED

AT_ONCE_BYTES = 262_144
"""A JPEG of so many is examined in less than a thread takes to begin: .25 ms for 100 kB."""
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class Accepted(NamedTuple):
    """An image that was taken in, and where its event is on `images.uploaded`."""

    image_id: UUID
    partition: int
    offset: int


class Gateway:
    """Takes uploads in: claim, store, send, each finished before the next."""

    def __init__(self, settings: Settings, log: LogWriter, store: Store, claims: Claims) -> None:
        self._settings = settings
        self._log = log
        self._store = store
        self._claims = claims

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
        facts, sha256 = await self._examined(data)
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
            sent = await self._log.send(UPLOADED, event, traceparent)
        return Accepted(image_id, sent.partition, sent.offset)

    async def _examined(self, data: bytes) -> tuple[Inspected, str]:
        """What the image is, and its SHA-256. Raises InvalidImage."""
        if len(data) <= AT_ONCE_BYTES:
            facts = inspect_segments(data, self._settings.max_image_pixels)
            if facts:
                return facts, hashlib.sha256(data).hexdigest()
        return await asyncio.to_thread(self._examined_whole, data)

    def _examined_whole(self, data: bytes) -> tuple[Inspected, str]:
        facts = inspect(data, self._settings.max_image_pixels, decode=True)
        return facts, hashlib.sha256(data).hexdigest()
