"""One key, one partition, whichever client sends it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Producer

from streams.records import key_of
from streams.topics import LIBRDKAFKA, UPLOADED
from tests.examples import uploaded


def by_librdkafka(keys: list[bytes]) -> tuple[dict[bytes, int], int]:
    """The partition it chose for each key, of how many; on its built-in mock cluster."""
    producer = Producer(
        {"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0, **LIBRDKAFKA}
    )
    chosen: dict[bytes, int] = {}

    def acknowledged(error: Any, message: Any) -> None:
        assert error is None
        chosen[message.key()] = message.partition()

    for key in keys:
        producer.produce(UPLOADED.name, b"", key, on_delivery=acknowledged)
    assert producer.flush(20) == 0
    return chosen, len(producer.list_topics(UPLOADED.name, timeout=10).topics[UPLOADED.name].partitions)


def test_librdkafka_and_aiokafka_choose_the_same_partition_for_a_key() -> None:
    keys = [key_of(uploaded(image_id=uuid4())) for _ in range(500)]
    chosen, count = by_librdkafka(keys)
    partitions = list(range(count))
    assert count > 1
    assert chosen == {key: DefaultPartitioner()(key, partitions, partitions) for key in keys}
    assert set(chosen.values()) == set(partitions)
