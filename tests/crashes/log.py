"""The log that is folded: with copies, out of order and on other partitions; and the view that it is."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import numpy as np
import pyarrow as pa
import uuid_utils.compat as uuids
from confluent_kafka import Consumer, Producer, TopicPartition

from streams import lake
from streams.circles import CIRCLE, object_ids
from streams.codec import Codec
from streams.ledger import Ledger
from streams.materialize import decoded, place
from streams.records import CirclesDetected, DeadLetterRetried, ImageFailed, ImageUploaded, Record, key_of
from streams.rows import unlisted_rows
from streams.settings import Settings
from streams.topics import LIBRDKAFKA, TOPICS, UPLOADED
from streams.views import Keys, Message, fold

COPIES, STRAYS = 0.10, 0.10
"""Of the messages how many come once more; of these how many on any partition."""
BLOCK = 200
PLACE = ("log_partition", "log_offset")


class Sent(NamedTuple):
    topic: str
    key: bytes
    value: bytes


def messages(chance: random.Random) -> Iterator[Sent]:
    """Uploads, their detections or dead letters, and some that are no record, without end."""
    codec, number = Codec(), 0
    while True:
        number += 1
        image_id = uuids.uuid7()
        for record in _about(chance, image_id, number):
            topic = next(topic for topic in TOPICS if isinstance(record, topic.records))
            yield Sent(topic.name, key_of(record), codec.encode(record))
        if number % 150 == 0:
            yield Sent(chance.choice(TOPICS).name, b"k", chance.randbytes(20))


def _about(chance: random.Random, image_id: UUID, number: int) -> Iterator[Record]:
    now = datetime.now(UTC)
    yield ImageUploaded(
        event_id=uuid4(), image_id=image_id, uri=f"file:///{number}.png", sha256=f"{number:064x}",
        content_type="image/png", width=64, height=48, size_bytes=number, uploaded_at=now,
        attributes={"number": str(number)},
    )  # fmt: skip
    if number % 40 == 0:
        letter = uuid4()
        yield ImageFailed(
            dead_letter_id=letter, image_id=image_id, stage="detect", error="E", reason=f"{number}",
            source_topic=UPLOADED.name, source_partition=0, source_offset=number, failed_at=now,
        )  # fmt: skip
        yield DeadLetterRetried(dead_letter_id=letter, image_id=image_id, retried_at=now)
    for version in ("1", "2") if number % 20 == 0 else ("1",):
        count = chance.randrange(8)
        circles = np.zeros(count, CIRCLE)
        ids = object_ids(image_id, "circles", version, count)
        circles["object_id"] = np.array([i.bytes for i in ids], "V16")
        circles["radius"] = circles["x_max"] = circles["y_max"] = np.arange(1, count + 1)
        yield CirclesDetected(
            event_id=uuid4(), image_id=image_id, model_name="circles", model_version=version, latency_ms=1,
            detected_at=now, source_partition=0, source_offset=number, circles=circles,
        )  # fmt: skip


class Feed:
    """Puts messages on the log, and some of them once more: later, in another order, perhaps elsewhere."""

    def __init__(self, settings: Settings, chance: random.Random) -> None:
        self._chance, self._partitions = chance, settings.topic_partitions
        self._messages = messages(chance)
        self._newest: list[Sent] = []
        self._producer = Producer(
            {"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0, **LIBRDKAFKA}
        )
        self.put = self.copies = 0

    def more(self, count: int) -> None:
        """All are acknowledged on return."""
        for _ in range(0, count, BLOCK):
            new = [next(self._messages) for _ in range(BLOCK)]
            self._newest = [*self._newest[-2 * BLOCK :], *new]
            for sent in new:
                self._producer.produce(sent.topic, sent.value, sent.key)
            for sent in self._chance.sample(self._newest, int(BLOCK * COPIES)):
                elsewhere = self._chance.random() < STRAYS
                partition = self._chance.randrange(self._partitions) if elsewhere else -1
                self._producer.produce(sent.topic, sent.value, sent.key, partition=partition)
                self.copies += 1
            self.put += BLOCK + int(BLOCK * COPIES)
            assert self._producer.flush(120) == 0


def differences(settings: Settings) -> dict[str, int]:
    """Rows that the view lacks or has too many, by table, against the whole log folded at once."""
    expected, uploads = _folded_at_once(settings)
    found = {}
    with lake.connect(settings, read_only=True) as view:
        # Of an image's copies on several partitions any may be folded first; the others are unlisted.
        came = {
            row[0].bytes: (row[1], row[2])
            for row in view.execute("SELECT image_id, log_partition, log_offset FROM lake.images").fetchall()
        }
        first: dict[tuple[bytes | None, int], int] = {}
        for image_id, places in uploads.items():
            for at in sorted(places, key=lambda at: at.offset):
                first.setdefault((image_id, at.partition), at.offset)
        found["images of another place"] = sum(first.get((i, p)) != o for i, (p, o) in came.items())
        expected["unlisted"] = unlisted_rows(
            [
                (at, UUID(bytes=image_id) if image_id else None)
                for image_id, places in uploads.items()
                for at in places
                if image_id is None or at.partition != came.get(image_id, (None,))[0]
            ]
        )
        for table, rows in expected.items():
            view.register("expected", rows)
            columns = [name for name in rows.column_names if table == "unlisted" or name not in PLACE]
            wanted, there = (view.table(name).select(*columns) for name in ("expected", f"lake.{table}"))
            found[f"{table} lost"] = len(wanted.except_(there))
            found[f"{table} double or wrong"] = len(there.except_(wanted))
    return found


def _folded_at_once(settings: Settings) -> tuple[dict[str, pa.Table], dict[bytes | None, list[Message]]]:
    """The view's tables, and where each image's uploads are; of None those that are no record."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "crashes",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    with lake.catalog(settings) as catalog:
        ends = Ledger(catalog, lake.live(settings)).stored()
    log: list[Any] = []
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in ends])
    while len(log) < sum(ends.values()):
        log += consumer.consume(10_000, 10)
    consumer.close()
    log.sort(key=place)
    batch = decoded(log, Codec())
    uploads: dict[bytes | None, list[Message]] = defaultdict(list)
    for message in batch.messages:
        if isinstance(message.record, ImageUploaded):
            uploads[message.record.image_id.bytes].append(message)
        elif message.topic == UPLOADED.name:
            uploads[None].append(message)
    return dict(fold(Keys(), batch)), uploads
