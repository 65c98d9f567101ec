"""Milliseconds from sending an event to its row in another process, at a tenth of the fold's limit."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray
from psycopg.sql import SQL, Identifier

from bench import events
from bench.fold import fold
from bench.measure import Figure, Say, median, percentile
from bench.stack import fresh_view, infrastructure, processes, produce_encoded
from streams import lake
from streams.settings import Settings
from streams.topics import DETECTED, LIBRDKAFKA

EVENTS = 120_000
"""Folded first, for the limit."""
SHARE = 0.1
ROUNDS, ROUND_S, WARM_S = 3, 20, 5
SLOWEST_S = 60
Times = NDArray[np.float64]
NEWEST = "SELECT max(snapshot_id) FROM {generation}.ducklake_snapshot"
HELD = "SELECT count(*) FROM lake.detections"


VISIBLE, READ = "event sent until the query that returns its row begins", "until that query has ended"
Samples = dict[str, Times]
"""Milliseconds of each event, in their order, by part."""


def run(say: Say) -> list[Figure]:
    with infrastructure(partitions=1) as settings:  # so that the number of rows says which events they are of
        say(f"producing {EVENTS:,} events of {events.CIRCLES} circles")
        produce_encoded(settings, DETECTED, events.encoded(EVENTS))
        limit = fold(settings, settings.fold_batch_size, EVENTS).events_per_s
        rate = round(SHARE * limit)
        own = fresh_view(settings)
        found: list[Samples] = []
        with processes(own, "materializer", "maintainer"):
            until(own, EVENTS)
            for number in range(ROUNDS):
                say(f"round {number + 1} of {ROUNDS}: {rate:,} events/s for {ROUND_S} s")
                before = EVENTS + number * rate * (ROUND_S + WARM_S)
                found.append(round_at(own, before, rate))
    figures = [median("the fold's limit", "events/s", [limit]), median("sent", "events/s", [rate])]
    for part in (VISIBLE, READ):
        rounds = [list(samples[part]) for samples in found]
        figures += [percentile(part, "ms", percent, rounds) for percent in (50, 99)]
    return figures


def until(settings: Settings, rows: int) -> None:
    """Return once the view has so many detections."""
    began = time.monotonic()
    with lake.connect(settings, read_only=True) as view:
        while view.execute(HELD).fetchall()[0][0] < rows:
            assert time.monotonic() - began < SLOWEST_S, f"not folded in {SLOWEST_S} s"
            time.sleep(0.1)


def round_at(settings: Settings, before: int, rate: int) -> Samples:
    """What each event took, without those of the first seconds. before: how many rows there are already."""
    count = rate * (ROUND_S + WARM_S)
    messages = list(events.encoded(count))
    sent_at = np.zeros(count)
    sender = threading.Thread(target=send, args=(settings, messages, rate, sent_at))
    seen: list[tuple[float, float]] = []
    with lake.connect(settings, read_only=True) as view, lake.catalog(settings) as catalog:
        newest, at = SQL(NEWEST).format(generation=Identifier(lake.live(settings))), None
        sender.start()
        deadline = time.monotonic() + ROUND_S + WARM_S + SLOWEST_S
        while len(seen) < count:
            assert time.monotonic() < deadline, f"{len(seen)} of {count} rows read"
            if at == (at := catalog.execute(newest).fetchall()):
                time.sleep(0.01)
                continue
            asked_at = time.time()
            ((held,),) = view.execute(HELD).fetchall()
            seen += itertools.repeat((asked_at, time.time()), held - before - len(seen))
        sender.join()
    took = 1000 * (np.array(seen).T - sent_at)[:, rate * WARM_S :]
    return dict(zip((VISIBLE, READ), took, strict=True))


def send(settings: Settings, messages: list[tuple[bytes, bytes]], rate: int, sent_at: Times) -> None:
    """Put messages on the log evenly; when each was handed to the producer goes into `sent_at`."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, **LIBRDKAFKA})
    for index, when in enumerate(paced(rate, len(messages))):
        key, value = messages[index]
        sent_at[index] = when
        producer.produce(DETECTED.name, value, key)
        producer.poll(0)
    assert producer.flush(60) == 0, "Kafka did not acknowledge all events"


def paced(rate: int, count: int) -> Iterator[float]:
    """The time, so many times, at an even rate: many at once where sleeping would be too coarse."""
    began = time.time()
    for index in range(count):
        due = began + index / rate
        if (now := time.time()) < due:
            time.sleep(max(0.002, due - now))
        yield time.time()
