"""Putting messages on the log from a command: all of them acknowledged, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Message, Producer

from streams.codec import Codec
from streams.errors import LogUnavailable
from streams.headers import cloud_event_headers
from streams.records import Record, key_of
from streams.settings import Settings
from streams.topics import LIBRDKAFKA, Topic, topic_of

WAIT_S = 30


class Outgoing(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Any


def outgoing(topic: Topic, record: Record, codec: Codec) -> Outgoing:
    return Outgoing(topic.name, key_of(record), codec.encode(record), cloud_event_headers(record))


def emit(settings: Settings, records: Iterable[Record]) -> dict[tuple[str, int], int]:
    """Put records on their topics, as `put` does. Raises LogUnavailable, RegistryUnavailable."""
    codec = Codec.from_url(settings.schema_registry_url)
    return put(settings, [outgoing(topic_of(record), record, codec) for record in records])


def put(
    settings: Settings, messages: Iterable[Outgoing], told: Callable[[], object] = lambda: None
) -> dict[tuple[str, int], int]:
    """Put messages on the log, in order; the highest offset of each partition that got some.

    told: called for each one that is acknowledged. Raises LogUnavailable: then some may be there, some not.
    """
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, **LIBRDKAFKA})
    last: dict[tuple[str, int], int] = {}

    def acknowledged(error: Any, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and partition is not None and offset is not None
        last[topic, partition] = max(offset, last.get((topic, partition), 0))
        told()

    try:
        for topic, key, value, headers in messages:
            while True:
                try:
                    producer.produce(topic, value, key, headers=headers, on_delivery=acknowledged)
                    break
                except BufferError:  # so many are under way: wait for some of them
                    producer.poll(1)
            producer.poll(0)
        left = producer.flush(WAIT_S)
    except KafkaException as error:
        raise LogUnavailable(f"Kafka does not acknowledge: {error}") from error
    if left:
        raise LogUnavailable(f"Kafka did not acknowledge {left} messages within {WAIT_S} s")
    return last
