"""What the integration tests share: images, messages, running stages, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from operator import itemgetter
from typing import Any

import numpy as np
import uuid_utils.compat as uuids
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from PIL import Image

from deploy.local.services import pipeline
from deploy.local.supervise import Supervisor, running
from streams import lake
from streams.codec import Codec
from streams.ledger import Ledger
from streams.records import ImageUploaded, Record, key_of
from streams.settings import Settings
from streams.topics import LIBRDKAFKA, Topic

LIVE = ("worker", "materializer", "maintainer", "api")


def picture(seed: int, kind: str = "PNG", width: int = 64, height: int = 48) -> bytes:
    """An image file of its own bytes for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def uploaded(**more: Any) -> ImageUploaded:
    """An event; what it names need not exist."""
    facts: dict[str, Any] = {
        "event_id": uuids.uuid4(),
        "image_id": uuids.uuid7(),
        "uri": "file:///nowhere.png",
        "sha256": "0" * 64,
        "content_type": "image/png",
        "width": 64,
        "height": 48,
        "size_bytes": 1,
        "uploaded_at": datetime.now(UTC),
    }
    return ImageUploaded(**facts | more)


@contextmanager
def stages(settings: Settings, *names: str) -> Iterator[Supervisor]:
    """Processes of the project while the block runs, kept alive when killed: those named, or all that an
    image passes through.
    """
    wanted = names or LIVE
    services = [service for service in pipeline(settings) if service.name in wanted]
    with running(settings.data_dir / "logs", *services) as supervisor:
        yield supervisor


def produce(settings: Settings, topic: Topic, *messages: Record | bytes | None) -> None:
    """Put records, or raw bytes as they are, on a topic; all are acknowledged on return."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0, **LIBRDKAFKA})
    codec = Codec()
    for message in messages:
        raw = message is None or isinstance(message, bytes)
        value = message if raw else codec.encode(message)  # type: ignore[arg-type]
        producer.produce(topic.name, value, None if raw else key_of(message))  # type: ignore[arg-type]
    assert producer.flush(20) == 0


def read_all(settings: Settings, topic: Topic) -> list[Record]:
    """Every record of a topic up to its end now."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "test",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    places = [TopicPartition(topic.name, p, 0) for p in range(settings.topic_partitions)]
    ends = {place.partition: consumer.get_watermark_offsets(place)[1] for place in places}
    consumer.assign(places)
    found: list[Record] = []
    while len(found) < sum(ends.values()):
        message = consumer.poll(10)
        assert message is not None
        found.append(Codec().decode(message.value()))
    consumer.close()
    return found


def fullest(settings: Settings, topic: Topic) -> tuple[int, int]:
    """The partition with the most messages, and its end; of random keys any other may have none."""
    servers = {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "test", "log_level": 0}
    consumer = Consumer(servers)
    places = [TopicPartition(topic.name, partition) for partition in range(settings.topic_partitions)]
    ends = [consumer.get_watermark_offsets(place)[1] for place in places]
    consumer.close()
    return max(enumerate(ends), key=itemgetter(1))


def alter(settings: Settings, topic: Topic, name: str, value: object) -> None:
    """Change a setting of a topic."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    entry = ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the view."""
    with lake.connect(settings, read_only=True) as view:
        return view.execute(sql).fetchall()


@contextmanager
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The stored offsets of the live view, which is made where there is none."""
    generation = lake.create(settings)
    with lake.catalog(settings) as catalog:
        yield Ledger(catalog, generation)


def wait_until(condition: Callable[[], object], timeout_s: float = 90) -> None:
    """Return once `condition` holds; fail when it does not come to hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.05)
