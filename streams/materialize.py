"""The materializer: folds the log into the lake, rows and offsets in one transaction.

A plain consumer with manual assignment; Kafka's own committed offsets are only a copy for lag tools.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from streams import lake
from streams.codec import Codec
from streams.errors import InvalidRecord, LogTruncated, StaleWriter
from streams.offsets import Offsets, add, advance, stored
from streams.process import announce_ready, configure_logging
from streams.settings import Settings
from streams.topics import TOPICS, VIEW_GROUP
from streams.views import Keys, Message, fold, keys

log = logging.getLogger("streams.materialize")
_LATEST_S = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_RECORDS = {topic.name: topic.records for topic in TOPICS}


def run(settings: Settings, stop: threading.Event) -> None:
    """Fold until `stop`. Raises LogTruncated and StaleWriter; an absent catalog is waited for."""
    codec = Codec.from_url(settings.schema_registry_url)
    pause = 0.2
    while not stop.is_set():
        try:
            lake.create(settings)
            with lake.connect(settings, read_only=False) as view, _consumer(settings) as consumer:
                offsets = _seek(settings, consumer, view)
                announce_ready(settings)
                pause = 0.2
                _fold_until(stop, settings, consumer, view, codec, offsets)
        except (duckdb.Error, psycopg.OperationalError) as error:
            # Nothing was committed, or all was: the stored offsets say which, and are read again.
            said = lake.without_password(f"{type(error).__name__}: {error}").splitlines()[0]
            log.warning("not committed; again in %.1f s: %s", pause, said)
            stop.wait(pause)
            pause = min(pause * 2, 5)


def _fold_until(
    stop: threading.Event,
    settings: Settings,
    consumer: Consumer,
    view: duckdb.DuckDBPyConnection,
    codec: Codec,
    offsets: Offsets,
) -> None:
    due = time.monotonic()
    while not stop.is_set():
        first = consumer.poll(0.2)
        if first is None:
            continue
        # When idle a first message is folded at once; after a commit more may come until the next is due.
        batch = [first, *consumer.consume(settings.fold_batch_size - 1, max(0, due - time.monotonic()))]
        offsets |= commit(view, [decoded(m, codec) for m in batch], offsets)
        due = time.monotonic() + settings.fold_linger_s
        positions = [TopicPartition(topic, p, offset) for (topic, p), offset in offsets.items()]
        consumer.commit(offsets=positions, asynchronous=True)


def commit(view: duckdb.DuckDBPyConnection, messages: Sequence[Message], offsets: Offsets) -> Offsets:
    """Fold `messages`, read from `offsets` on, into the view in one transaction; the advanced offsets.

    Raises StaleWriter when the view is no longer at `offsets`, duckdb.Error when the catalog fails.
    """
    advanced: Offsets = {}
    for message in messages:
        advanced[message.topic, message.partition] = message.offset + 1
    view.execute("BEGIN")
    try:
        advance(view, offsets, advanced, rows=insert(view, messages))
        view.execute("COMMIT")
    except duckdb.Error as error:
        _roll_back(view)
        now = stored(view)
        moved = [f"{topic}[{p}]" for topic, p in advanced if now.get((topic, p)) != offsets[topic, p]]
        if moved:
            raise StaleWriter(f"another materializer has folded on from {', '.join(moved)}") from error
        raise
    except BaseException:
        _roll_back(view)
        raise
    return advanced


def insert(view: duckdb.DuckDBPyConnection, messages: Sequence[Message]) -> bool:
    """Add the rows of `messages` that the view does not have; whether there were any."""
    rows = fold(known(view, keys(messages)), messages)
    for table, batch in rows.items():
        _with_batch(view, batch, f"INSERT INTO lake.{table} BY NAME SELECT * FROM batch")  # noqa: S608 our names
    return bool(rows)


def known(view: duckdb.DuckDBPyConnection, wanted: Keys) -> Keys:
    """Which of `wanted` the view already has."""
    ids = {image_id for image_id, _, _ in wanted.detections}
    return Keys(
        images={row[0] for row in _look_up(view, "known_images", "image_id", wanted.images)},
        detections={tuple(row) for row in _look_up(view, "known_detections", "image_id", ids)},
        failures={row[0] for row in _look_up(view, "known_failures", "dead_letter_id", wanted.failures)},
        retries={row[0] for row in _look_up(view, "known_retries", "dead_letter_id", wanted.retries)},
    )


def decoded(message: KafkaMessage, codec: Codec) -> Message:
    """A consumed message with its record, or why it holds none. Raises KafkaException for errors."""
    if error := message.error():
        raise KafkaException(error)
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None
    record: Any
    try:
        record = codec.decode(message.value(), _RECORDS[topic])
    except InvalidRecord as error:
        record = error
    # A producer may claim any time, also one that no calendar has.
    timestamp = datetime.fromtimestamp(min(max(message.timestamp()[1] / 1000, 0), _LATEST_S), UTC)
    headers: Any = tuple(message.headers() or ())
    return Message(topic, partition, offset, timestamp, message.key(), message.value(), headers, record)


def _look_up(view: duckdb.DuckDBPyConnection, statement: str, column: str, ids: set[Any]) -> list[Any]:
    if not ids:
        return []
    storage = pa.array([i.bytes for i in ids], pa.binary(16))
    batch = pa.table({column: pa.ExtensionArray.from_storage(pa.uuid(), storage)})
    return _with_batch(view, batch, lake.STATEMENTS[statement])


def _with_batch(view: duckdb.DuckDBPyConnection, batch: pa.Table, statement: str) -> list[Any]:
    view.register("batch", batch)
    try:
        return view.execute(statement).fetchall()
    finally:
        view.unregister("batch")


def _roll_back(view: duckdb.DuckDBPyConnection) -> None:
    try:
        view.execute("ROLLBACK")
    except duckdb.Error:
        log.debug("nothing to roll back: the transaction ended with its error")


def _seek(settings: Settings, consumer: Consumer, view: duckdb.DuckDBPyConnection) -> Offsets:
    """Assign every partition at its stored offset; new partitions begin at their log's start."""
    before, offsets = stored(view), Offsets()
    for topic in TOPICS:
        found = consumer.list_topics(topic.name, timeout=10).topics[topic.name]
        if found.error or not found.partitions:
            raise KafkaException(found.error or f"{topic.name} has no partitions")
        for partition in found.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic.name, partition), timeout=10)
            at = offsets[topic.name, partition] = before.get((topic.name, partition), low)
            if not low <= at <= high:
                raise LogTruncated(
                    f"{topic.name}[{partition}] holds offsets {low} to {high}, but the view goes on at {at}: "
                    "messages were deleted before they were folded, or the topic was made anew"
                )
    with lake.catalog(settings) as catalog:
        add(catalog, {at: offset for at, offset in offsets.items() if at not in before})
    consumer.assign([TopicPartition(topic, p, offset) for (topic, p), offset in offsets.items()])
    return offsets


@contextmanager
def _consumer(settings: Settings) -> Iterator[Consumer]:
    consumer = Consumer(
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
        yield consumer
    finally:
        consumer.close()


def main() -> None:
    """The process: fold until SIGTERM or SIGINT."""
    settings = Settings.load()
    configure_logging(settings)
    settings.require("kafka_bootstrap_servers", "catalog_url")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(settings, stop)


if __name__ == "__main__":
    main()
