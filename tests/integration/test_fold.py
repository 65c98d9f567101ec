"""The fold on the real lake: exact through duplicates, stale writers and kill -9."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from os import kill
from uuid import UUID, uuid4

import duckdb
import numpy as np
import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from streams import lake
from streams.circles import CIRCLE, object_ids
from streams.codec import Codec
from streams.commit import View, Writer
from streams.errors import LogRemade, LogTruncated, StaleWriter
from streams.ledger import Ledger, Offsets
from streams.materialize import run
from streams.records import CirclesDetected, ImageUploaded
from streams.settings import Settings
from streams.topics import DETECTED, UPLOADED
from streams.views import Message
from tests.examples import batch
from tests.integration.conftest import Fresh
from tests.integration.flow import fullest, ledger, produce, query, stages, uploaded, wait_until


def detected(image_id: UUID, count: int = 3) -> CirclesDetected:
    circles = np.zeros(count, CIRCLE)
    circles["object_id"] = np.array([i.bytes for i in object_ids(image_id, "circles", "1", count)], "V16")
    circles["radius"] = circles["x_max"] = circles["y_max"] = np.arange(1, count + 1)
    return CirclesDetected(
        event_id=uuid4(), image_id=image_id, model_name="circles", model_version="1", latency_ms=1,
        detected_at=datetime.now(UTC), source_partition=0, source_offset=0, circles=circles,
    )  # fmt: skip


def message(offset: int, record: ImageUploaded, partition: int = 0) -> Message:
    return Message(UPLOADED.name, partition, offset, record.uploaded_at, None, b"", (), record)


def folded(view: View, log: list[Message], offsets: Offsets) -> Offsets:
    """Commit messages that were read from `offsets` on."""
    return view.commit(batch(log), offsets, {(sent.topic, sent.partition): sent.offset + 1 for sent in log})


@contextmanager
def writing(settings: Settings, *, shared: bool = False) -> Iterator[View]:
    """The only writer of a view, or one of several."""
    with ledger(settings) as offsets, lake.connect(settings, read_only=False) as connection:
        yield View(connection, offsets, shared=shared)


START: Offsets = {(UPLOADED.name, 0): 0}


@pytest.fixture
def at_start(settings: Settings) -> Iterator[Ledger]:
    """Of a view without rows, with partition 0 of the uploads at its start."""
    with ledger(settings) as offsets:
        offsets.add(START)
        yield offsets


def test_a_stale_writer_commits_nothing(settings: Settings, at_start: Ledger) -> None:
    record = uploaded()
    with writing(settings) as stale, writing(settings) as current:
        folded(current, [message(0, record)], START)
        with pytest.raises(StaleWriter, match=r"folded on from images.uploaded\[0\]"):
            folded(stale, [message(0, uploaded())], START)  # with a row
        with pytest.raises(StaleWriter, match=r"folded on from images.uploaded\[0\]"):
            folded(stale, [message(0, record)], START)  # with none
        assert at_start.stored() == {(UPLOADED.name, 0): 1}
    assert query(settings, "SELECT image_id FROM lake.images") == [(record.image_id,)]


def test_of_two_writers_at_the_same_moment_one_commits(settings: Settings, at_start: Ledger) -> None:
    """The other one has its rows and its offsets in a transaction, and only has to commit."""
    with lake.connect(settings, read_only=False) as slow, writing(settings) as quick:
        slow.execute("BEGIN; INSERT INTO lake.retries (dead_letter_id) VALUES (uuid())")
        at_start.advance(slow, at_start.standing().epoch, START, {(UPLOADED.name, 0): 1}, files=())
        folded(quick, [message(0, uploaded())], START)
        with pytest.raises(duckdb.TransactionException, match="stale writer: 1 of 1 offsets"):
            slow.execute("COMMIT")
        assert at_start.stored() == {(UPLOADED.name, 0): 1}
    assert query(settings, "SELECT count(*) FROM lake.images") == [(1,)]
    assert query(settings, "SELECT count(*) FROM lake.retries") == [(0,)]


def test_what_a_commit_raises_beside_the_reading_is_not_lost(settings: Settings, at_start: Ledger) -> None:
    def put(writer: Writer) -> None:
        writer.put(batch([message(5, uploaded())]), {(UPLOADED.name, 0): 6})

    with writing(settings) as view:
        stale = [Writer(view, {(UPLOADED.name, 0): 5}, 0) for _ in range(3)]
        for writer in stale:
            put(writer)
            wait_until(writer.free)  # they share a connection
        with pytest.raises(StaleWriter):
            put(stale[0])
        with pytest.raises(StaleWriter):
            stale[1].committed()
        with pytest.raises(StaleWriter):
            stale[2].__exit__(None)
        assert at_start.stored() == START
    assert query(settings, "SELECT count(*) FROM lake.images") == [(0,)]


@pytest.mark.parametrize("linger_s", [60, 0])
def test_a_commit_is_followed_by_a_rest(settings: Settings, at_start: Ledger, linger_s: float) -> None:
    """As long as it took, and not longer than what is set."""
    with writing(settings) as view, lake.catalog(settings) as slow:
        writer = Writer(view, START, linger_s)
        assert writer.free()
        with slow.transaction():
            slow.execute("LOCK TABLE circles.offsets")
            writer.put(batch([message(0, uploaded())]), {(UPLOADED.name, 0): 1})
            waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'circles.offsets'::regclass"
            wait_until(lambda: slow.execute(waits).fetchall())
            began = time.monotonic()  # or a moment before
            time.sleep(0.5)
        with writer:
            writer.finish()
            if linger_s:
                wait_until(writer.free)
                assert time.monotonic() - began >= 2 * 0.5
            assert writer.free()
        assert at_start.stored() == {(UPLOADED.name, 0): 1}


def test_two_writers_of_two_partitions_do_not_hinder_each_other(settings: Settings, at_start: Ledger) -> None:
    at_start.add({(UPLOADED.name, 1): 0})
    topics = (UPLOADED.name, DETECTED.name)
    at_start.made_from(dict.fromkeys(topics, "made once"), dict.fromkeys(topics, 2))
    with ThreadPoolExecutor() as threads:
        done = [threads.submit(fold_alone, settings, partition) for partition in (0, 1)]
        assert [each.result() for each in done] == [20, 20]
    assert query(settings, "SELECT count(*) FROM lake.images") == [(40,)]


def fold_alone(settings: Settings, partition: int) -> int:
    """One message a commit; returns the offset it came to."""
    offsets = {(UPLOADED.name, partition): 0}
    with writing(settings, shared=True) as view:
        for offset in range(20):
            offsets = folded(view, [message(offset, uploaded(), partition)], offsets)
    return offsets[UPLOADED.name, partition]


def test_the_offsets_end_behind_the_last_message_of_each_partition(settings: Settings) -> None:
    start = {(UPLOADED.name, partition): 0 for partition in range(3)}
    with ledger(settings) as offsets, writing(settings) as view:
        offsets.add(start)
        log = [message(o, uploaded(), partition) for partition, o in ((0, 0), (2, 7), (0, 1))]
        advanced = folded(view, log, start)
        assert advanced == {(UPLOADED.name, 0): 2, (UPLOADED.name, 2): 8}
        assert offsets.stored() == start | advanced


def test_a_message_that_comes_twice_is_one_row(settings: Settings, at_start: Ledger) -> None:
    record = uploaded()
    with writing(settings) as view:
        at = folded(view, [message(0, record), message(1, record)], START)
        folded(view, [message(2, record)], at)
    assert at_start.stored() == {(UPLOADED.name, 0): 3}
    assert query(settings, "SELECT count(*), min(log_offset) FROM lake.images") == [(1, 0)]


def test_a_log_that_is_folded_once_more_adds_nothing(settings: Settings) -> None:
    images = [uploaded() for _ in range(50)]
    produce(settings, UPLOADED, *images)
    produce(settings, DETECTED, *(detected(i.image_id) for i in images))
    counts = "SELECT (SELECT count(*) FROM lake.images), (SELECT count(*) FROM lake.objects)"
    for _ in range(2):
        with stages(settings, "materializer"):
            wait_until(lambda: query(settings, counts) == [(50, 150)])
            wait_until(lambda: sum(at for at in folded_to(settings).values()) == 100)
        with lake.catalog(settings) as catalog:
            catalog.execute("DELETE FROM circles.offsets")
    assert query(settings, counts) == [(50, 150)]


def folded_to(settings: Settings) -> Offsets:
    with ledger(settings) as offsets:
        return offsets.stored()


def test_a_view_that_is_killed_again_and_again_equals_the_log(settings: Settings) -> None:
    images = [uploaded() for _ in range(600)]
    with stages(settings, "materializer") as supervisor:
        for start in range(0, 600, 100):
            some = images[start : start + 100]
            produce(settings, UPLOADED, *some, *some[:10])
            produce(settings, DETECTED, *(detected(i.image_id) for i in some), detected(some[0].image_id))
            wait_until(lambda: "materializer" in supervisor.pids())
            kill(supervisor.pids()["materializer"], signal.SIGKILL)
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.objects") == [(1800,)])
    rows = query(settings, "SELECT count(*), count(DISTINCT image_id) FROM lake.images")
    assert rows == [(600, 600)]
    rows = query(settings, "SELECT count(*), count(DISTINCT object_id) FROM lake.objects")
    assert rows == [(1800, 1800)]
    rows = query(
        settings, "SELECT count(*), count(DISTINCT image_id), sum(circle_count) FROM lake.detections"
    )
    assert rows == [(600, 600, 1800)]


def test_a_log_that_lost_what_was_not_folded_is_refused_by_name(settings: Settings) -> None:
    import threading

    produce(settings, UPLOADED, *(uploaded() for _ in range(40)))
    with ledger(settings) as offsets:
        offsets.add({(UPLOADED.name, each): 0 for each in range(settings.topic_partitions)})
    partition, end = fullest(settings, UPLOADED)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for future in admin.delete_records([TopicPartition(UPLOADED.name, partition, 5)]).values():
        future.result()
    lost = rf"images.uploaded\[{partition}\] holds offsets 5 to {end}, but the view goes on at 0"
    with pytest.raises(LogTruncated, match=lost):
        run(settings, threading.Event())


def test_a_topic_that_was_made_anew_is_refused_by_name(settings: Settings, fresh: Fresh) -> None:
    import threading

    produce(settings, UPLOADED, uploaded())
    with stages(settings, "materializer"):
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.images") == [(1,)])
    again = fresh(catalog_url=settings.catalog_url, data_dir=settings.data_dir)  # the topics made anew
    produce(again, UPLOADED, *(uploaded() for _ in range(40)))  # its offsets would all be there
    with pytest.raises(LogRemade, match=r"images.uploaded was deleted and made anew since the view"):
        run(again, threading.Event())


def test_partitions_that_are_added_are_folded(settings: Settings) -> None:
    with stages(settings, "materializer"):
        produce(settings, UPLOADED, uploaded())
        wait_until(lambda: images_of(settings) == 1)
        put_on_an_added_partition(settings)
        wait_until(lambda: images_of(settings) == 2)


def test_partitions_that_are_added_while_it_is_away_are_folded(settings: Settings) -> None:
    with stages(settings, "materializer"):
        produce(settings, UPLOADED, uploaded())
        wait_until(lambda: images_of(settings) == 1)
    put_on_an_added_partition(settings)
    with stages(settings, "materializer"):
        wait_until(lambda: images_of(settings) == 2)


def test_partitions_that_are_gone_as_topics_were_made_anew_are_passed_over(fresh: Fresh) -> None:
    more = fresh()
    with stages(more, "materializer"):
        put_on_an_added_partition(more)
        wait_until(lambda: images_of(more) == 1)
    fewer = fresh()
    with stages(fewer, "materializer"):  # which Kafka gives all that it had
        produce(fewer, UPLOADED, *(uploaded() for _ in range(40)))
        wait_until(lambda: images_of(fewer) == 40)


def images_of(settings: Settings) -> int:
    """How many images the view has."""
    ((count,),) = query(settings, "SELECT count(*) FROM lake.images")
    return int(count)


def put_on_an_added_partition(settings: Settings) -> None:
    """Make two more partitions for uploads, and put a message on the last one."""
    servers: dict[str, str | int | float | bool] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "log_level": 0,
    }
    added = NewPartitions(UPLOADED.name, settings.topic_partitions + 2)
    admin = AdminClient(servers)  # which has to live until its futures are done
    for future in admin.create_partitions([added]).values():
        future.result()
    producer, value = Producer(servers), Codec().encode(uploaded())
    wait_until(lambda: put(producer, value, partition=settings.topic_partitions + 1))


def put(producer: Producer, value: bytes, partition: int) -> bool:
    """Whether a message could be put there: a producer knows new partitions only after a while."""
    try:
        producer.produce(UPLOADED.name, value, partition=partition)
    except KafkaException:
        return False
    return producer.flush(20) == 0
