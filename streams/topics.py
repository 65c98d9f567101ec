"""All topics, in one table, and their creation."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import stamina
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from streams.records import CirclesDetected, DeadLetterRetried, ImageFailed, ImageUploaded, Record
from streams.reevaluation import (
    ImageAnnotated,
    ImageNotReplayed,
    ModelPromoted,
    ReplayChanged,
    ReplayRequested,
)
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic; every message's key is the id as text of what it is about (`records.subject`)."""

    name: str
    records: tuple[type, ...]
    max_message_bytes: int = 1_048_576


UPLOADED = Topic("images.uploaded", (ImageUploaded,))
DETECTED = Topic("circles.detected", (CirclesDetected,))
# A dead letter carries a whole original message, so its topic takes larger ones.
FAILED = Topic("images.failed", (ImageFailed, DeadLetterRetried), max_message_bytes=4_194_304)
ANNOTATED = Topic("annotations.recorded", (ImageAnnotated,))
REPLAYS = Topic("replays.changed", (ReplayRequested, ReplayChanged, ImageNotReplayed))
PROMOTED = Topic("models.promoted", (ModelPromoted,))

DETECT_GROUP, VIEW_GROUP = "circles.detect", "circles.view"
"""Consumer groups: of the detect stage; of the view, whose committed offsets are for lag tools only."""


def replay_group(replay_id: UUID) -> str:
    """The consumer group of those who work on a replay."""
    return f"circles.replay.{replay_id}"


TOPICS = (UPLOADED, DETECTED, FAILED, ANNOTATED, REPLAYS, PROMOTED)


def topic_of(record: Record) -> Topic:
    """Where a record belongs."""
    return next(topic for topic in TOPICS if isinstance(record, topic.records))


LIBRDKAFKA = {
    # Java's and aiokafka's choice; librdkafka's own default would put the same key elsewhere.
    "partitioner": "murmur2_random",
    "acks": "all",
    "message.max.bytes": FAILED.max_message_bytes,
}
"""Settings of every librdkafka producer here."""


def create(settings: Settings, *, wait_s: float = 20) -> None:
    """Create the missing topics; existing ones are left as they are. Kafka may be starting still.

    Raises KafkaException.
    """
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    days = settings.topic_retention_days
    new = [
        NewTopic(
            topic.name,
            num_partitions=settings.topic_partitions,
            replication_factor=settings.topic_replication,
            config={
                "cleanup.policy": "delete",
                "retention.ms": str(-1 if days < 0 else int(days * 86_400_000)),
                "max.message.bytes": str(topic.max_message_bytes),
            },
        )
        for topic in TOPICS
    ]
    for future in admin.create_topics(new, request_timeout=wait_s).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    _led(admin)


@stamina.retry(on=(KafkaException, KeyError), attempts=None, timeout=20, wait_initial=0.05, wait_max=0.5)
def _led(admin: AdminClient) -> None:
    """Return once every partition is known and has a leader that answers: that follows the creation."""
    found = admin.list_topics(timeout=10).topics
    places = [TopicPartition(t.name, p) for t in TOPICS for p in found[t.name].partitions]
    for future in admin.list_offsets(dict.fromkeys(places, OffsetSpec.latest())).values():
        future.result()
