"""Folding a generation exactly as far as it is told, where the materializer never ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from streams.codec import Codec
from streams.commit import Writer
from streams.errors import LogTruncated
from streams.ledger import Offsets
from streams.materialize import collected, decoded, place, reached


class Follower:
    """Reads on from where a generation is, by a consumer of its own (`enable.partition.eof`)."""

    def __init__(
        self, consumer: Consumer, writer: Writer, codec: Codec, offsets: Offsets, batch_size: int
    ) -> None:
        self._consumer, self._writer, self._codec, self._batch_size = consumer, writer, codec, batch_size
        self._read, self.folded = dict(offsets), dict(offsets)

    def add(self, new: Offsets) -> None:
        """Where partitions begin that were not among the offsets."""
        self._read |= new
        self.folded |= new

    def to(self, target: Offsets, committed: Callable[[], None], until: float = math.inf) -> bool:
        """Fold to the target and no further; False when `until` (of time.monotonic) comes first.

        committed: called after each commit, when `folded` has moved. Partitions that are further already
        stay there. Raises LogTruncated when the log ends before the target, KafkaException, and what
        `Writer.put` raises.
        """
        left = {at: end for at, end in target.items() if self._read[at] < end}
        self._consumer.assign([TopicPartition(*at, self._read[at]) for at in left])
        while any(self.folded[at] < end for at, end in target.items()):
            if time.monotonic() > until:
                return False
            if any(self._read[at] < end for at, end in left.items()):
                messages, behind = self._next(left)
                if behind:
                    self._writer.put(decoded(messages, self._codec), behind)
                    self._read |= behind
            else:
                time.sleep(0.002)  # the last commit is under way
            if reached := self._writer.committed():
                self.folded |= reached
                committed()
        return True

    def _next(self, target: Offsets) -> tuple[list[KafkaMessage], Offsets]:
        """Messages before the target, and the offsets to go on from.

        Those jump to the target where the log has a hole before it: Kafka gives the marks of its
        transactions offsets of their own.
        """
        events = collected(self._consumer, self._batch_size, self._writer)
        messages = [event for event in events if event.error() is None]
        behind = reached(messages)
        for topic, partition, offset in map(_end, (event for event in events if event.error())):
            if offset < target[topic, partition]:
                raise LogTruncated(
                    f"{topic}[{partition}] ends at {offset}, but the live view is folded to"
                    f" {target[topic, partition]}: the log lost messages"
                )
            behind[topic, partition] = offset
        if any(offset > target[at] for at, offset in behind.items()):
            messages = [m for m in messages if place(m)[2] < target[place(m)[:2]]]
        behind = {at: min(offset, target[at]) for at, offset in behind.items()}
        done = [at for at, offset in behind.items() if self._read[at] < offset == target[at]]
        if done:
            self._consumer.incremental_unassign([TopicPartition(*at) for at in done])
        return messages, behind


def _end(event: KafkaMessage) -> tuple[str, int, int]:
    """Of an event that is no message: the partition that ends there, and its end. Raises KafkaException."""
    error, topic, partition, offset = event.error(), event.topic(), event.partition(), event.offset()
    if error is None or error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    assert topic is not None and partition is not None and offset is not None
    return topic, partition, offset
