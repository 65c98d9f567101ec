"""A real Apache Kafka under the supervisor."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local.kafka import running_kafka


def test_kafka_keeps_a_message_and_its_port_through_kill_9(tmp_path: Path) -> None:
    with running_kafka(tmp_path) as bootstrap:
        client: dict[str, str | int | float | bool] = {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "reconnect.backoff.max.ms": 200,
        }
        admin = AdminClient(client)
        admin.create_topics([NewTopic("log", 1, 1)])["log"].result(10)
        producer = Producer(client)
        producer.produce("log", b"kept")
        assert producer.flush(10) == 0

        [java] = [c for c in psutil.Process().children() if f"{tmp_path}/" in " ".join(c.cmdline())]
        java.kill()
        consumer = Consumer(client | {"group.id": "test"})
        consumer.assign([TopicPartition("log", 0, 0)])
        deadline = time.monotonic() + 40
        while (message := consumer.poll(1)) is None or message.error():
            assert time.monotonic() < deadline
        consumer.close()
        assert message.value() == b"kept"

        assert admin.list_topics("misspelt", timeout=10).topics["misspelt"].error is not None
        assert "misspelt" not in admin.list_topics(timeout=10).topics
    assert "shut down completed" in (tmp_path / "kafka.log").read_text()  # its log is not silent
