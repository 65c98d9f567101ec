"""The log as the API writes to it: each record acknowledged before anything is answered."""

from __future__ import annotations

from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from streams.codec import Codec
from streams.errors import LogUnavailable
from streams.headers import cloud_event_headers
from streams.records import Record, key_of
from streams.settings import Settings
from streams.topics import Topic


class LogWriter:
    """One producer for all who send. Use as a context manager."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings, self._codec = settings, codec
        self._producer: AIOKafkaProducer

    async def __aenter__(self) -> Self:
        # Not idempotent: a repeated event has the same id, which the view takes once, and an
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

    async def send(self, topic: Topic, record: Record, traceparent: bytes | None = None) -> RecordMetadata:
        """Put a record on the log; returns once all in-sync replicas have it. Raises LogUnavailable."""
        try:
            return await self._producer.send_and_wait(
                topic.name,
                self._codec.encode(record),
                key=key_of(record),
                headers=cloud_event_headers(record, traceparent),
            )
        except KafkaError as error:
            raise LogUnavailable(f"Kafka does not acknowledge: {type(error).__name__}") from error
