"""How far the stages are on the log: its ends, what is done of it, and since when the rest waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import stamina
from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from streams.ledger import Offsets
from streams.partitions import counted
from streams.settings import Settings
from streams.topics import DETECT_GROUP, UPLOADED

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """A look at the log: where each partition begins and ends, and what the detect stage has committed."""

    begins: Offsets
    ends: Offsets
    detected: Offsets


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stage is on one partition.

    done: the first offset that it has not finished; since: Kafka's time of the message there, where known.
    """

    topic: str
    partition: int
    begin: int
    end: int
    done: int
    since: datetime | None = None

    @property
    def lag(self) -> int:
        """Offsets that are not done and still on the log; messages, unless a producer uses transactions."""
        return max(0, self.end - max(self.done, self.begin))


def consumer(settings: Settings) -> Consumer:
    """A consumer to look with: it never subscribes, so it is no member of its group, and commits nothing."""
    return Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": DETECT_GROUP,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 1,
            "fetch.queue.backoff.ms": 5,  # by its default of 1000 every other look takes a second more
            "fetch.message.max.bytes": 65_536,
        },
        logger=log,
    )


def look(consumer: Consumer, wait_s: float) -> Seen:
    """What the log has, with a consumer of `consumer`; raises KafkaException, also where a topic is missing.

    The ends are those after the committed offsets: all outcomes of what was committed are before them.
    """
    places = [
        TopicPartition(topic, partition)
        for topic, count in counted(consumer, wait_s).items()
        for partition in range(count)
    ]
    uploads = [place for place in places if place.topic == UPLOADED.name]
    committed = _committed(consumer, uploads, wait_s)
    marks = {(p.topic, p.partition): consumer.get_watermark_offsets(p, timeout=wait_s) for p in places}
    return Seen(
        begins={at: low for at, (low, _) in marks.items()},
        ends={at: high for at, (_, high) in marks.items()},
        detected={(p.topic, p.partition): p.offset for p in committed if p.offset >= 0},
    )


def _starting(error: Exception) -> bool:
    """Whether a broker that was just started only has to find out which groups it coordinates."""
    return isinstance(error, KafkaException) and error.args[0].code() in (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
    )


@stamina.retry(on=_starting, attempts=None, timeout=3, wait_initial=0.1, wait_max=0.5)
def _committed(consumer: Consumer, places: list[TopicPartition], wait_s: float) -> list[TopicPartition]:
    return consumer.committed(places, timeout=wait_s)


def positions(seen: Seen, topics: Iterable[str], done: Offsets) -> list[Position]:
    """Where a stage is on its topics; where it has nothing done, at the beginning of the log."""
    return [
        Position(topic, partition, begin, seen.ends[topic, partition], done.get((topic, partition), begin))
        for (topic, partition), begin in seen.begins.items()
        if topic in topics
    ]


def dated(consumer: Consumer, positions: Sequence[Position], wait_s: float) -> list[Position]:
    """The positions with when their oldest message came; without, where Kafka gives none within `wait_s`."""
    behind = {(p.topic, p.partition): p for p in positions if p.lag}
    found = dict.fromkeys(behind, None) | _times(consumer, behind.values(), wait_s) if behind else {}
    return [replace(p, since=found.get((p.topic, p.partition))) for p in positions]


def _times(
    consumer: Consumer, positions: Iterable[Position], wait_s: float
) -> dict[tuple[str, int], datetime | None]:
    places = [TopicPartition(p.topic, p.partition, max(p.done, p.begin)) for p in positions]
    found: dict[tuple[str, int], datetime | None] = {}
    consumer.assign(places)
    deadline = time.monotonic() + wait_s
    while len(found) < len(places) and (left := deadline - time.monotonic()) > 0:
        message = consumer.poll(left)
        if message is None:
            break
        topic, partition = message.topic(), message.partition()
        if topic is None or partition is None or (topic, partition) in found:
            continue
        if (error := message.error()) and error.code() != KafkaError._PARTITION_EOF:
            continue
        kind, milliseconds = message.timestamp()
        none = error is not None or kind == TIMESTAMP_NOT_AVAILABLE
        # A producer may claim any time.
        seconds = min(max(milliseconds / 1000, 0), time.time())
        found[topic, partition] = None if none else datetime.fromtimestamp(seconds, UTC)
        consumer.incremental_unassign([TopicPartition(topic, partition)])
    consumer.unassign()
    return found


def members(settings: Settings, groups: Sequence[str], wait_s: float) -> dict[str, int | None]:
    """How many members each consumer group has; None for one that was only ever given offsets.

    Not to be called on an event loop: it runs one. Raises aiokafka's KafkaError, TimeoutError.
    """
    return asyncio.run(asyncio.wait_for(_members(settings, groups), wait_s))


async def _members(settings: Settings, groups: Sequence[str]) -> dict[str, int | None]:
    async with administering(settings) as admin:
        described = [(await admin.describe_consumer_groups([group]))[0].groups[0] for group in groups]
    found: dict[str, int | None] = {}
    for _, group, state, protocol_type, _, ours, *_ in described:
        found[group] = None if not protocol_type and state != "Dead" else len(ours)
    return found


@asynccontextmanager
async def administering(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Kafka's administration, by a client that a process may outlive (docs/decisions.md)."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
