"""The fold: events a second from the log into the view, against only reading and only decoding the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from bench import events
from bench.measure import Figure, Say, interleaved, median, ratio
from bench.stack import fresh_view, infrastructure, processes, produce
from streams import lake, materialize, partitions, views
from streams.codec import Codec
from streams.ledger import Ledger
from streams.settings import Settings
from streams.topics import DETECTED

EVENTS = 120_000
BATCHES = (500, 2_000, 5_000, 10_000, 20_000)
MOST_COMMITS = 12
"""Small commits are measured over fewer events, so that all take about as long."""
ROUNDS = 3
SLOWEST_S = 120
CONSUME, DECODE, COLUMNS = "consume", "consume, decode", "consume, decode, columns"
# A snapshot a commit; what came before the first event made the tables.
COMMITTED = """
SELECT (SELECT count(*) FROM lake.objects),
       (SELECT count(*) FROM lake.snapshots() WHERE changes['tables_inserted_into'] IS NOT NULL)"""


class Passed(NamedTuple):
    events_per_s: float
    events_per_commit: float


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings:
        say(f"producing {EVENTS:,} events of {events.CIRCLES} circles")
        produce(settings, DETECTED, events.detected(EVENTS))
        codec = Codec()
        folds = {f"fold, at most {n:,} a commit": n for n in BATCHES}
        cases = {
            CONSUME: partial(consume, settings, lambda _: None, passes=5),
            DECODE: partial(consume, settings, partial(decode, codec)),
            COLUMNS: partial(consume, settings, partial(columns, codec)),
            **{name: partial(fold, settings, n, min(EVENTS, n * MOST_COMMITS)) for name, n in folds.items()},
        }
        found = interleaved(ROUNDS, cases, say)
    rates = {name: [passed.events_per_s for passed in rounds] for name, rounds in found.items()}
    figures = [median(name, "events/s", values) for name, values in rates.items()]
    for name in folds:
        commits = [passed.events_per_commit for passed in found[name]]
        figures.append(median(f"{name}: events in one", "events", commits))
    for name in folds:
        figures += [ratio(name, rates[name], rates[limit], limit) for limit in (DECODE, CONSUME)]
    return figures


def consume(
    settings: Settings, work: Callable[[list[Message]], object], passes: int = 1, enough: int = EVENTS
) -> Passed:
    """Read so many events with the materializer's own consumer and do `work` on each batch."""
    took, read = 0.0, 0
    # A consumer for each pass: one that is sent back to the start first waits for its last, idle fetch.
    for _ in range(passes):
        with partitions.consumer(settings) as consumer:
            places = _places(consumer)  # connects
            began, seen = time.perf_counter(), 0
            consumer.assign(places)
            while seen < enough:
                batch = consumer.consume(5_000, 0.02)
                work(batch)
                seen += len(batch)
                assert time.perf_counter() - began < SLOWEST_S, f"{seen} of {enough} events read"
            took += time.perf_counter() - began
            read += seen
    return Passed(read / took, 0)


def decode(codec: Codec, batch: list[Message]) -> None:
    codec.detections([message.value() for message in batch])


def columns(codec: Codec, batch: list[Message]) -> None:
    """All that the fold does but for the lake."""
    views.fold(views.Keys(), materialize.decoded(batch, codec))


def fold(settings: Settings, batch: int, enough: int) -> Passed:
    """A materializer in its process, into an empty view: from its first read until so many are committed."""
    own = fresh_view(settings).model_copy(update={"fold_batch_size": batch})
    with processes(own, "materializer"), lake.catalog(own) as catalog:
        ledger = Ledger(catalog, lake.live(own))
        # Touched when reading begins.
        began = (own.data_dir / "materializer.ready").stat().st_mtime
        while (folded := sum(ledger.stored().values())) < enough:
            assert time.time() - began < SLOWEST_S, f"{folded} of {enough} events folded"
            time.sleep(0.01)
        took = time.time() - began
    with lake.connect(own, read_only=True) as view:
        ((rows, commits),) = view.execute(COMMITTED).fetchall()
    assert rows >= folded * events.CIRCLES, f"{rows} rows in the view after {folded} events"
    return Passed(folded / took, rows / events.CIRCLES / commits)


def _places(consumer: Consumer) -> list[TopicPartition]:
    partitions = consumer.list_topics(DETECTED.name, timeout=10).topics[DETECTED.name].partitions
    places = [TopicPartition(DETECTED.name, p, 0) for p in partitions]
    for place in places:
        consumer.get_watermark_offsets(place, timeout=10)
    return places
