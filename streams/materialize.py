"""The materializer: folds the log into the lake, rows and offsets in one transaction.

A plain consumer; Kafka shares out the partitions, and its committed offsets are only a copy for lag tools.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import psycopg
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import Message as KafkaMessage

from streams import hygiene, lake, partitions
from streams.codec import Codec
from streams.commit import View, Writer
from streams.errors import InvalidRecord, StaleWriter
from streams.headers import BACKGROUND
from streams.ledger import Ledger, Offsets
from streams.partitions import Share
from streams.process import announce_ready, configure_logging, told_to_stop
from streams.settings import Settings
from streams.topics import DETECTED, TOPICS
from streams.views import Batch, Message, detected_keys

MOST_BYTES = 32 * 1024 * 1024
"""In one batch, as what is fetched ahead allows: large messages would else fill the memory."""
BACKGROUND_S = 1.0
"""How long what replays find is gathered: a commit costs about the same whatever its size."""
log = logging.getLogger("streams.materialize")
_LATEST_S = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_RECORDS = {topic.name: topic.records for topic in TOPICS}


def run(settings: Settings, stop: threading.Event) -> None:
    """Fold until `stop`, sharing the partitions with the group's other members.

    Raises LogTruncated, LogRemade and KafkaException; an absent catalog is waited for.
    """
    codec = Codec.from_url(settings.schema_registry_url)
    hygiene.warn(settings)
    pause = 0.2
    while not stop.is_set():
        try:
            generation = lake.create(settings)
            with (
                lake.catalog(settings) as catalog,
                lake.connect(settings, read_only=False, generation=generation) as view,
                partitions.consumer(settings) as consumer,
            ):
                ledger, share = Ledger(catalog, generation), Share(consumer)
                while not stop.is_set():
                    share.changed = False
                    if share.places:
                        _fold_share(stop, settings, codec, consumer, share, ledger, view)
                        pause = 0.2
                    else:
                        if share.joined:  # there are more members than partitions
                            announce_ready(settings)
                        reached(consumer.consume(1, 0.2))
        except (duckdb.Error, psycopg.Error, StaleWriter) as error:
            # Nothing was committed, or all was: the stored offsets say which, and are read again.
            said = lake.without_password(f"{type(error).__name__}: {error}").splitlines()[0]
            log.warning("not committed; again in %.1f s: %s", pause, said)
            stop.wait(pause)
            pause = min(pause * 2, 5)


def _fold_share(
    stop: threading.Event,
    settings: Settings,
    codec: Codec,
    consumer: Consumer,
    share: Share,
    ledger: Ledger,
    view: duckdb.DuckDBPyConnection,
) -> None:
    """Fold the partitions of a share until it changes."""
    offsets = partitions.begin(settings, consumer, ledger, share.places)
    shared = len(offsets) < sum(ledger.standing().partitions.values())
    with Writer(View(view, ledger, shared=shared), offsets, settings.fold_linger_s) as writer:
        share.before_it_changes = writer.finish
        partitions.tell(consumer, offsets)
        log.info("folding %d partitions of the log", len(offsets))
        announce_ready(settings)
        while not stop.is_set():
            messages = collected(consumer, settings.fold_batch_size, writer, BACKGROUND_S)
            behind = reached(messages)  # an error is told once: that another took this member's name, too
            if share.changed:
                return  # who folds them next reads them again
            if messages:
                writer.put(decoded(messages, codec), behind)
            if committed := writer.committed():
                partitions.tell(consumer, committed)


def collected(consumer: Consumer, most: int, writer: Writer, background_s: float = 0) -> list[KafkaMessage]:
    """Messages, at most so many: none when idle for a while, else what comes until they can be written.

    background_s: how long those are gathered that nobody waits for, until one comes that is waited for.
    """
    found = consumer.consume(1, 0.2)
    size = sum(map(len, found))
    urgent, until = any(map(waited_for, found)), time.monotonic() + background_s
    while found and len(found) < most and size < MOST_BYTES:
        new = consumer.consume(most - len(found), 0)
        if not writer.free():
            new += consumer.consume(max(0, most - len(found) - len(new)), 0.002)
        elif not new:
            if urgent or time.monotonic() >= until:
                break
            new = consumer.consume(1, 0.05)
        urgent = urgent or any(map(waited_for, new))
        found += new
        size += sum(map(len, new))
    return found


def waited_for(message: KafkaMessage) -> bool:
    return BACKGROUND not in (message.headers() or ())


def reached(messages: Sequence[KafkaMessage]) -> Offsets:
    """The offset behind the last of consumed messages, by partition. Raises KafkaException for errors."""
    places = map(place, messages)
    return {(topic, partition): offset + 1 for topic, partition, offset in places}


def decoded(messages: Sequence[KafkaMessage], codec: Codec) -> Batch:
    """What consumed messages say, or why they say nothing."""
    detected = [message for message in messages if message.topic() == DETECTED.name]
    others = [placed(m, record(m, codec)) for m in messages if m.topic() != DETECTED.name]
    detections, wrong = codec.detections([message.value() for message in detected])
    detected_in = np.array([m.partition() for i, m in enumerate(detected) if i not in wrong], np.int64)
    others += [placed(detected[i], error) for i, error in wrong.items()]
    return Batch(others, detections, list(detected_keys(detections)), detected_in)


def record(message: KafkaMessage, codec: Codec) -> Any:
    try:
        return codec.decode(message.value(), _RECORDS[message.topic() or ""])
    except InvalidRecord as error:
        return error


def placed(message: KafkaMessage, record: Any) -> Message:
    """A consumed message with its record."""
    # A producer may claim any time, also one that no calendar has.
    timestamp = datetime.fromtimestamp(min(max(message.timestamp()[1] / 1000, 0), _LATEST_S), UTC)
    topic, partition, offset = place(message)
    headers: Any = tuple(message.headers() or ())
    return Message(topic, partition, offset, timestamp, message.key(), message.value(), headers, record)


def place(message: KafkaMessage) -> tuple[str, int, int]:
    """Its topic, partition and offset. Raises KafkaException where it is an error."""
    if error := message.error():
        raise KafkaException(error)
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None
    return topic, partition, offset


def main() -> None:
    """The process: fold until SIGTERM or SIGINT."""
    settings = Settings.load()
    configure_logging(settings)
    settings.require("kafka_bootstrap_servers", "catalog_url")
    run(settings, told_to_stop())


if __name__ == "__main__":
    main()
