"""An image of a replay, from the log through the model and back; and what all replays have in common."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener

from streams.codec import Codec
from streams.errors import LogTruncated, RegistryUnavailable
from streams.gate import Stopping
from streams.headers import BACKGROUND, cloud_event_headers
from streams.live_view import LiveView
from streams.model import DummyModel, KServeModel, Model
from streams.outcome import Detector, detected
from streams.partitions import instance
from streams.records import ImageUploaded, Record, key_of
from streams.reevaluation import ImageNotReplayed, ReplayChanged, ReplayRequested, not_replayed_id
from streams.settings import Settings
from streams.store import Store
from streams.together import Together
from streams.topics import DETECTED, REPLAYS, UPLOADED, replay_group

READ_AHEAD = 8
"""Images read from the store beyond those that the model is asked about: the next request's."""
log = logging.getLogger("streams.replay")


@dataclass(frozen=True, slots=True)
class Parts:
    """What all replays of a process have in common."""

    settings: Settings
    view: LiveView
    codec: Codec
    producer: AIOKafkaProducer
    store: Store

    async def send(self, topic: str, record: Record, *more: tuple[str, bytes]) -> None:
        """Return once all in-sync replicas have it. more: headers. Raises KafkaError, RegistryUnavailable."""
        value = self.codec.encode(record)
        headers = [*cloud_event_headers(record), *more]
        await self.producer.send_and_wait(topic, value, key_of(record), headers=headers)

    async def finish(self, replay: ReplayRequested, by: str) -> None:
        """Say that a replay is finished; the same event, whoever says it."""
        finished = ReplayChanged(
            change_id=uuid5(replay.replay_id, "finished"),
            replay_id=replay.replay_id,
            state="finished",
            changed_by=by,
            changed_at=datetime.now(UTC),
        )
        await self.send(REPLAYS.name, finished)


@dataclass(frozen=True, slots=True)
class Images:
    """Those of one replay, in this process."""

    parts: Parts
    replay: ReplayRequested
    detector: Detector

    async def take(self, image_id: UUID, partition: int, offset: int, value: bytes | None) -> bool | None:
        """Take an image to its outcome on the log: whether it is detected; None: the process stops before.

        value: the message of its upload; None: it is no longer on the log. Raises KafkaError,
        RegistryUnavailable.
        """
        replay_id = self.replay.replay_id
        try:
            if value is None:
                raise LogTruncated(f"{UPLOADED.name}[{partition}]@{offset} is no longer on the log")
            uploaded = self.parts.codec.decode(value, UPLOADED.records)
            assert isinstance(uploaded, ImageUploaded)
            answer = await self.detector.ask(uploaded)
            found = detected(uploaded, answer, partition, offset, replay_id)
        except Stopping:
            return None
        except RegistryUnavailable:
            raise
        except Exception as error:
            log.warning("image %s: %s: %s", image_id, type(error).__name__, error)
            missed = ImageNotReplayed(
                event_id=not_replayed_id(replay_id, image_id),
                replay_id=replay_id,
                image_id=image_id,
                error=type(error).__name__,
                reason=str(error)[:2_000],
                source_partition=partition,
                source_offset=offset,
                failed_at=datetime.now(UTC),
            )
            await self.parts.send(REPLAYS.name, missed, BACKGROUND)
            return False
        await self.parts.send(DETECTED.name, found, BACKGROUND)
        return True


@asynccontextmanager
async def images_of(parts: Parts, replay: ReplayRequested, stop: asyncio.Event) -> AsyncIterator[Images]:
    """Through the replay's version; whoever waits for the model is let go at `stop`."""
    async with AsyncExitStack() as resources:
        model: Model = DummyModel()
        alone: Model = model
        if parts.settings.mode == "real":
            client = KServeModel(for_version(parts.settings, replay), background=True)
            alone = await resources.enter_async_context(client)
            model = Together(client, replay.calls_at_once, stop.is_set)
        asked = replay.calls_at_once + READ_AHEAD
        yield Images(parts, replay, Detector(parts.store, model, asked, stop.is_set, alone))


@asynccontextmanager
async def member(
    settings: Settings, replay: ReplayRequested, listener: ConsumerRebalanceListener
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of uploads that shares the partitions with others who work on the replay."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=replay_group(replay.replay_id),
        group_instance_id=await asyncio.to_thread(instance, settings, settings.replay_member) or None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=60_000,  # longer than what is under way may take
    )
    await consumer.start()
    try:
        consumer.subscribe([UPLOADED.name], listener=listener)
        yield consumer
    finally:
        await consumer.stop()


def for_version(settings: Settings, replay: ReplayRequested) -> Settings:
    """The settings of a model client that asks for the replay's version."""
    return settings.model_copy(
        update={
            "model_name": replay.model_name,
            "model_version": replay.model_version,
            "model_concurrency": replay.calls_at_once,
        }
    )
