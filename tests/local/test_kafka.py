"""A real Apache Kafka under the supervisor."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local import kafka
from deploy.local.ports import free_ports
from deploy.local.supervise import running


def test_kafka_keeps_a_message_and_its_port_through_kill_9(tmp_path: Path) -> None:
    port, controller_port = free_ports(2)
    service = kafka.service(tmp_path, port=port, controller_port=controller_port)
    client = {"bootstrap.servers": service.where, "log_level": 0}
    with running(tmp_path, service) as supervisor:
        AdminClient(client).create_topics([NewTopic("log", 1, 1)])["log"].result(10)
        producer = Producer(client)
        producer.produce("log", b"kept")
        assert producer.flush(10) == 0

        killed = supervisor.pids()["kafka"]
        os.kill(killed, signal.SIGKILL)
        consumer = Consumer(client | {"group.id": "test"})
        consumer.assign([TopicPartition("log", 0, 0)])
        deadline = time.monotonic() + 30
        while (message := consumer.poll(1)) is None or message.error():
            assert time.monotonic() < deadline
        consumer.close()
        assert message.value() == b"kept"
        assert supervisor.pids()["kafka"] != killed


def test_kafka_makes_no_topic_that_was_not_created_and_says_why_it_ends(tmp_path: Path) -> None:
    with kafka.running_kafka(tmp_path) as bootstrap:
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        assert admin.list_topics("misspelt", timeout=10).topics["misspelt"].error is not None
        assert admin.list_topics(timeout=10).topics == {}
    assert "shut down completed" in (tmp_path / "kafka.log").read_text()
