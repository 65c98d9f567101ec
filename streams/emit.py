"""Putting a few messages on the log, for commands: all of them are acknowledged when it returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Producer

from streams.codec import Codec
from streams.errors import LogUnavailable
from streams.headers import cloud_event_headers
from streams.records import Record, key_of
from streams.settings import Settings
from streams.topics import LIBRDKAFKA, topic_of

WAIT_S = 30


class Outgoing(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Any


def emit(settings: Settings, records: Iterable[Record]) -> None:
    """Put records on their topics. Raises LogUnavailable, RegistryUnavailable."""
    codec = Codec.from_url(settings.schema_registry_url)
    put(
        settings,
        [
            Outgoing(topic_of(record).name, key_of(record), codec.encode(record), cloud_event_headers(record))
            for record in records
        ],
    )


def put(settings: Settings, messages: Iterable[Outgoing]) -> None:
    """Put messages on the log as they are. Raises LogUnavailable."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, **LIBRDKAFKA})

    def acknowledged(error: Any, _: Any) -> None:
        if error is not None:
            raise KafkaException(error)

    try:
        for message in messages:
            producer.produce(
                message.topic, message.value, message.key, headers=message.headers, on_delivery=acknowledged
            )
        left = producer.flush(WAIT_S)
    except KafkaException as error:
        raise LogUnavailable(f"Kafka does not acknowledge: {error}") from error
    if left:
        raise LogUnavailable(f"Kafka did not acknowledge {left} messages within {WAIT_S} s")
