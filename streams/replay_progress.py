"""How far replays are: of one with an end the view says it, of one that follows its consumer group."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import NamedTuple
from uuid import UUID

import duckdb
import orjson
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException, TopicPartition

from streams import replays
from streams.errors import LogUnavailable
from streams.lag import oldest
from streams.partitions import WAIT_S
from streams.progress import Position, administering, consumer, dated
from streams.replays import Progress, Replay
from streams.settings import Settings
from streams.topics import UPLOADED, replay_group

DATED_S = 1.0
"""For Kafka to say when the oldest upload came that is not done; else nobody says it."""


class Reached(NamedTuple):
    """Where a replay that follows is on a partition: all before the offset is done, so many images of it."""

    offset: int
    detected: int
    missed: int

    def said(self) -> str:
        """What is committed beside the offset."""
        return orjson.dumps({"detected": self.detected, "missed": self.missed}).decode()


async def reached(settings: Settings, replay_id: UUID) -> dict[int, Reached]:
    """By partition, where a replay that follows has been. Raises KafkaError."""
    # confluent_kafka's client reads beyond the end of what was committed beside an offset.
    async with administering(settings) as admin:
        found = await admin.list_consumer_group_offsets(replay_group(replay_id))
    return {
        place.partition: Reached(at.offset, **orjson.loads(at.metadata))
        for place, at in found.items()
        if at.offset >= 0 and at.metadata
    }


def how_far(settings: Settings, view: duckdb.DuckDBPyConnection, replay: Replay) -> Progress:
    """How far a replay is. Not to be called on an event loop. Raises duckdb.Error, LogUnavailable."""
    asked = replay.requested
    if not asked.follow:
        return replays.progress(view, asked)
    try:
        there = asyncio.run(reached(settings, asked.replay_id))
        beyond = [] if replay.has_ended else _beyond(settings, replay, there)
    except (KafkaError, KafkaException) as error:
        raise LogUnavailable(str(error)) from error
    if there:
        detected, missed = sum(at.detected for at in there.values()), sum(at.missed for at in there.values())
    else:  # Kafka lets go of a group that nobody was in for a week
        detected, missed = replays.counted(view, asked.replay_id)
    behind, since = sum(position.lag for position in beyond), oldest(beyond)
    return Progress(detected + missed, detected, missed, behind, since)


def _beyond(settings: Settings, replay: Replay, there: dict[int, Reached]) -> list[Position]:
    """Where it is on each partition, and since when what is beyond waits."""
    begins = dict(enumerate(replay.requested.begins))
    with closing(consumer(settings)) as log:
        positions = []
        for partition in log.list_topics(UPLOADED.name, timeout=WAIT_S).topics[UPLOADED.name].partitions:
            low, high = log.get_watermark_offsets(TopicPartition(UPLOADED.name, partition), timeout=WAIT_S)
            at = there[partition].offset if partition in there else begins.get(partition, 0)
            positions.append(Position(UPLOADED.name, partition, low, high, at))
        return dated(log, positions, DATED_S)
