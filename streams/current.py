"""The version of the model that detects what is uploaded: the log says so, and each worker follows it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streams.codec import Codec
from streams.errors import InvalidRecord, RegistryUnavailable
from streams.reevaluation import ModelPromoted
from streams.settings import Settings
from streams.topics import PROMOTED
from streams.version import Version

log = logging.getLogger("streams.detect")


class Current:
    """The version that detects what is uploaded, followed on the log. Use as a context manager."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        """Until a first promotion it is the one that the settings name."""
        self.version = Version(settings.model_name, settings.model_version)
        self._codec = codec
        # Without a group: each process reads all of it, from the beginning.
        self._consumer = AIOKafkaConsumer(
            PROMOTED.name,
            bootstrap_servers=settings.kafka_bootstrap_servers,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )

    async def __aenter__(self) -> Self:
        """Return once it knows all promotions that are on the log."""
        await self._consumer.start()
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        while any([await self._consumer.position(place) < end for place, end in ends.items()]):
            await self._read()
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._following.cancel()
        with suppress(asyncio.CancelledError):
            await self._following
        await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, RegistryUnavailable) as error:
                log.warning("promotions cannot be read, again in a second: %s", error)
                await asyncio.sleep(1)

    async def _read(self) -> None:
        for messages in (await self._consumer.getmany(timeout_ms=500)).values():
            for message in messages:
                try:
                    record = self._codec.decode(message.value, PROMOTED.records)
                except InvalidRecord as error:  # the view has its dead letter
                    log.warning("%s[%d]@%d: %s", message.topic, message.partition, message.offset, error)
                    continue
                assert isinstance(record, ModelPromoted)
                promoted = Version(record.model_name, record.model_version)
                log.info("%s detects from here on, not %s", promoted, self.version)
                self.version = promoted
