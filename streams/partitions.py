"""The log as the view reads it: which partitions this materializer folds, and where each goes on.

Kafka shares the partitions out among the members of one group. The offsets that count are the view's own;
those of the group are a copy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.errors import LogRemade, LogTruncated
from streams.ledger import Ledger, Offsets
from streams.settings import Settings
from streams.topics import TOPICS, VIEW_GROUP

log = logging.getLogger(__name__)
WAIT_S = 10.0
"""For an answer of Kafka's."""


@contextmanager
def consumer(settings: Settings, **more: object) -> Iterator[Consumer]:
    """A consumer without partitions yet. more: settings of librdkafka's, with _ for each dot."""
    made = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": VIEW_GROUP,
            # One that is killed and started again at once with its own id goes on without the others' help.
            "group.instance.id": instance(settings, settings.fold_member),
            "session.timeout.ms": 10_000,
            "topic.metadata.refresh.interval.ms": 10_000,  # so soon are added partitions shared out
            "enable.auto.commit": False,
            "auto.offset.reset": "error",  # never jump over messages in silence
            # The first fetch after partitions were given may be of empty ones alone: others wait for it.
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 5,  # its default of 1000 stalls the fold
            "queued.max.messages.kbytes": 16_384,  # half a second's; four times as many took 100 MB more
            "fetch.message.max.bytes": 8_388_608,
            **{name.replace("_", "."): value for name, value in more.items()},
        },
        logger=log,
    )
    try:
        yield made
    finally:
        made.close()


def instance(settings: Settings, member: str) -> str:
    """The name of a member in its group, empty for none: another one once a topic has other partitions.

    Who comes back under a name is given what it had, without what was added meanwhile. Raises KafkaException.
    """
    if not member:
        return ""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    there = admin.list_topics(timeout=WAIT_S).topics
    counts = [len(there[topic.name].partitions) if topic.name in there else 0 for topic in TOPICS]
    return "-".join([member, *map(str, counts)])


class Share:
    """The partitions that Kafka gave to this member of the group; it says so while messages are asked for."""

    def __init__(self, consumer: Consumer) -> None:
        """Joins the group."""
        self.places: list[tuple[str, int]] = []
        self.joined = self.changed = False
        self.before_it_changes: Callable[[], object] = list
        consumer.subscribe(
            [topic.name for topic in TOPICS],
            on_assign=self._given,
            on_revoke=self._taken,
            on_lost=self._taken,
        )

    def _given(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.places, self.changed = sorted((p.topic, p.partition) for p in partitions), True
        self.joined = True
        consumer.assign([])  # where they go on is for the ledger to say

    def _taken(self, _: Consumer, __: list[TopicPartition]) -> None:
        self.places, self.changed = [], True
        self.before_it_changes()
        self.before_it_changes = list


def begin(
    settings: Settings, consumer: Consumer, ledger: Ledger, places: Iterable[tuple[str, int]]
) -> Offsets:
    """Let the consumer read partitions from their stored offsets; new ones from their log's start.

    Raises LogRemade, LogTruncated, KafkaException, psycopg.OperationalError.
    """
    ids, counts = topic_ids(settings), counted(consumer)
    for topic, made in ledger.made_from(ids, counts).items():
        if ids[topic] != made:
            raise LogRemade(
                f"{topic} was deleted and made anew since the view was folded from it (its id is"
                f" {ids[topic]}, not {made}): its offsets mean other messages now. `circles rebuild --force`"
                " folds a view from the new log"
            )
    before, offsets = ledger.stored(), Offsets()
    for topic, partition in places:
        if partition >= counts[topic]:  # that of a topic before it was made anew, with fewer
            log.warning("%s[%d] is not there any more: it was this member's before", topic, partition)
            continue
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


def counted(consumer: Consumer, wait_s: float = WAIT_S) -> dict[str, int]:
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
