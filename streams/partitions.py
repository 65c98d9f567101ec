"""The log as the view reads it: which partitions there are, and where each goes on.

A consumer with manual assignment: the offsets that count are the view's own, and Kafka's are a copy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.errors import LogRemade, LogTruncated
from streams.ledger import Ledger, Offsets
from streams.settings import Settings
from streams.topics import TOPICS, VIEW_GROUP

log = logging.getLogger(__name__)
WAIT_S, SHORT_WAIT_S = 10.0, 1.0
"""For an answer of Kafka's; the short one between batches, as the process must stop when it is told to."""


@contextmanager
def consumer(settings: Settings) -> Iterator[Consumer]:
    """A consumer without partitions yet."""
    made = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": VIEW_GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",  # never jump over messages in silence
            "fetch.queue.backoff.ms": 5,  # its default of 1000 stalls the fold
            "queued.max.messages.kbytes": 65_536,
            "fetch.message.max.bytes": 8_388_608,
        },
        logger=log,
    )
    try:
        yield made
    finally:
        made.close()


def assign(settings: Settings, consumer: Consumer, ledger: Ledger) -> Offsets:
    """Assign every partition at its stored offset; those that are new to the view at their log's start.

    Raises LogRemade, LogTruncated, KafkaException, psycopg.OperationalError.
    """
    ids = topic_ids(settings)
    for topic, made in ledger.made_from(ids).items():
        if ids[topic] != made:
            raise LogRemade(
                f"{topic} was deleted and made anew since the view was folded from it (its id is"
                f" {ids[topic]}, not {made}): its offsets mean other messages now. Fold a view of its"
                " own from the new log, with another database in CATALOG_URL and another LAKE_URL"
            )
    before, offsets = ledger.stored(), Offsets()
    for topic, count in counted(consumer, WAIT_S).items():
        for partition in range(count):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=WAIT_S)
            at = offsets[topic, partition] = before.get((topic, partition), low)
            if not low <= at <= high:
                raise LogTruncated(
                    f"{topic}[{partition}] holds offsets {low} to {high}, but the view goes on at {at}:"
                    " messages were deleted before they were folded"
                )
            if (topic, partition) not in before and low > 0:
                log.warning("%s[%d] begins at %d: what was before is not in the view", topic, partition, low)
    ledger.add({at: offset for at, offset in offsets.items() if at not in before})
    consumer.assign([TopicPartition(topic, p, offset) for (topic, p), offset in offsets.items()])
    return offsets


def more(consumer: Consumer, offsets: Offsets) -> bool:
    """Whether a topic has partitions that are not among these, and says so. False when Kafka is away."""
    try:
        counts = counted(consumer, SHORT_WAIT_S)
    except KafkaException:
        return False
    new = [f"{t}[{p}]" for t, count in counts.items() for p in range(count) if (t, p) not in offsets]
    if new:
        log.info("new partitions: %s", ", ".join(new))
    return bool(new)


def counted(consumer: Consumer, wait_s: float) -> dict[str, int]:
    """Partitions of each topic. Raises KafkaException, also where a topic is missing."""
    counts = {}
    for topic in TOPICS:
        found = consumer.list_topics(topic.name, timeout=wait_s).topics[topic.name]
        if found.error or not found.partitions:
            raise KafkaException(found.error or f"{topic.name} has no partitions")
        counts[topic.name] = len(found.partitions)
    return counts


def topic_ids(settings: Settings) -> dict[str, str]:
    """The id that each topic got when it was made. Raises KafkaException."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    names = TopicCollection([topic.name for topic in TOPICS])
    futures = admin.describe_topics(names, request_timeout=WAIT_S)
    return {name: str(future.result().topic_id) for name, future in futures.items()}


def tell(consumer: Consumer, offsets: Offsets) -> None:
    """Copy offsets to the group, for lag tools."""
    positions = [TopicPartition(topic, p, offset) for (topic, p), offset in offsets.items()]
    consumer.commit(offsets=positions, asynchronous=True)
