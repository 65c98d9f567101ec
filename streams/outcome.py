"""What becomes of an upload: its image read, the model asked, and circles or the reason why there are none.

The same for what is live and what is replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from uuid import UUID, uuid5

import numpy as np

from streams.circles import object_ids
from streams.errors import ModelRefuses, ModelUnavailable, StoreUnavailable
from streams.gate import Gate
from streams.model import Answer, Model
from streams.records import CirclesDetected, ImageUploaded
from streams.store import Store

MOST_FAILED_CALLS = 5
"""Of one image, each after the model had been ready again: then the image itself is what breaks it."""


def detected(
    uploaded: ImageUploaded, answer: Answer, partition: int, offset: int, replay_id: UUID | None = None
) -> CirclesDetected:
    """The event for a model's answer; its ids are the same at every redelivery."""
    name, version = answer.model_name, answer.model_version
    circles = answer.circles.copy()
    ids = object_ids(uploaded.image_id, name, version, len(circles))
    circles["object_id"] = np.array([i.bytes for i in ids], "V16")
    return CirclesDetected(
        event_id=uuid5(uploaded.image_id, f"{name}:{version}"),
        image_id=uploaded.image_id,
        project_id=uploaded.project_id,
        model_name=name,
        model_version=version,
        latency_ms=answer.latency_ms,
        detected_at=datetime.now(UTC),
        source_partition=partition,
        source_offset=offset,
        replay_id=replay_id,
        circles=circles,
    )


class Detector:
    """Asks a model about images, waiting as long as the model or the store is away."""

    def __init__(
        self,
        store: Store,
        model: Model,
        calls_at_once: int,
        stopping: Callable[[], bool],
        alone: Model | None = None,
    ) -> None:
        """alone: whom to ask about an image that failed, where `model` asks about it with others."""
        self._store = store
        self._model = model
        self._alone = alone or model
        self._calls = asyncio.Semaphore(calls_at_once)
        self._suspect = asyncio.Lock()
        self._model_gate = Gate("the model server", model.ready, stopping)
        self._store_gate = Gate("object storage", store.ready, stopping)

    async def ask(self, uploaded: ImageUploaded) -> Answer:
        """What the model says of an image. Raises Stopping: give it up, and what is wrong with the image."""
        return await self._ask(await self._read(uploaded))

    async def _read(self, uploaded: ImageUploaded) -> bytes:
        while True:
            await self._store_gate.passed()
            try:
                return await self._store.get(
                    uploaded.uri, size_bytes=uploaded.size_bytes, sha256=uploaded.sha256
                )
            except StoreUnavailable as error:
                self._store_gate.close(str(error))

    async def _ask(self, image: bytes) -> Answer:
        """The model's answer; an image that it fails on again and again is asked for alone, then given up.

        Alone, because an image that ends the server takes its neighbours' calls down with it.
        """
        failed = 0
        while True:
            await self._model_gate.passed()
            try:
                async with AsyncExitStack() as turn:
                    if failed:
                        await turn.enter_async_context(self._suspect)
                    await turn.enter_async_context(self._calls)
                    return await (self._alone if failed else self._model).detect(image)
            except ModelUnavailable as error:
                failed += not isinstance(error, ModelRefuses)
                if failed >= MOST_FAILED_CALLS:
                    raise ModelUnavailable(
                        f"failed {failed} times on this image, the last with: {error}"
                    ) from error
                self._model_gate.close(str(error))
