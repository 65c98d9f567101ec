"""Folding exactly so far: to offsets in the middle, over holes of the log, and not beyond its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Message, Producer, TopicPartition

from streams import lake, partitions
from streams.codec import Codec
from streams.commit import View, Writer
from streams.errors import LogTruncated
from streams.follow import Follower
from streams.headers import BACKGROUND
from streams.ledger import Offsets
from streams.materialize import collected
from streams.settings import Settings
from streams.topics import UPLOADED
from tests.integration.flow import ledger, query, uploaded

AT = (UPLOADED.name, 0)
IMAGES = "SELECT count(*), count(DISTINCT image_id) FROM lake.images"


@pytest.fixture
def log(settings: Settings) -> Settings:
    """A partition of 12 messages, those of a transaction, its mark, and 3 more: offsets 0 to 15."""
    servers = {"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0}
    codec, producer = Codec(), Producer(servers | {"transactional.id": settings.data_dir.name})
    producer.init_transactions(20)
    for count in (12, 3):
        producer.begin_transaction()
        for _ in range(count):
            producer.produce(UPLOADED.name, codec.encode(uploaded()), partition=0)
        producer.commit_transaction(20)
    return settings


@contextmanager
def follower(settings: Settings, batch_size: int = 5) -> Iterator[Follower]:
    with (
        ledger(settings) as stored,
        partitions.consumer(settings, group_id="test", enable_partition_eof=True) as consumer,
        lake.connect(settings, read_only=False) as view,
    ):
        stored.add({AT: 0})
        offsets = stored.stored()
        stored.made_from(partitions.topic_ids(settings), partitions.counted(consumer))
        with Writer(View(view, stored, shared=False), offsets, 0) as writer:
            yield Follower(consumer, writer, Codec(), offsets, batch_size)


def test_what_nobody_waits_for_is_gathered_until_something_else_comes(settings: Settings) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    value = Codec().encode(uploaded())

    def put(*headers: tuple[str, bytes]) -> None:
        producer.produce(UPLOADED.name, value, partition=0, headers=list(headers))
        assert producer.flush(20) == 0

    def put_both() -> None:
        put(BACKGROUND)
        put()

    with (
        ledger(settings) as offsets,
        partitions.consumer(settings, group_id="test") as consumer,
        lake.connect(settings, read_only=False) as view,
        Writer(View(view, offsets, shared=False), {}, 0) as writer,
    ):
        consumer.assign([TopicPartition(*AT, 0)])
        put()
        assert [m.offset() for m in wait_for(lambda: collected(consumer, 10, writer, 60))] == [0]
        put(BACKGROUND)
        sending = threading.Timer(0.5, put_both)
        sending.start()
        together = wait_for(lambda: collected(consumer, 10, writer, 60))
        sending.join()
        assert [m.offset() for m in together] == [1, 2, 3]
        put(BACKGROUND)
        began = time.monotonic()
        assert [m.offset() for m in wait_for(lambda: collected(consumer, 10, writer, 0.3))] == [4]
        assert time.monotonic() > began + 0.3
        put(BACKGROUND)
        put(BACKGROUND)
        assert [m.offset() for m in wait_for(lambda: collected(consumer, 2, writer, 60))] == [5, 6]


def wait_for(look: Callable[[], list[Message]]) -> list[Message]:
    """What comes first."""
    while not (found := look()):
        pass
    return found


def stored(settings: Settings) -> Offsets:
    with ledger(settings) as offsets:
        return offsets.stored()


def test_it_folds_to_the_target_and_no_further_again_and_again(log: Settings) -> None:
    told: list[int] = []
    with follower(log) as fold:
        for target in (1, 7, 7, 11, 12):
            assert fold.to({AT: target}, lambda: told.append(fold.folded[AT]))
            assert (stored(log), fold.folded) == ({AT: target}, {AT: target})
            assert query(log, IMAGES) == [(target, target)]
    assert told == sorted(told) and told[-1] == 12


@pytest.mark.parametrize(("target", "images"), [(13, 12), (14, 13), (16, 15), (17, 15)])
def test_a_hole_before_the_target_is_passed(log: Settings, target: int, images: int) -> None:
    """Offsets 12 and 16 are marks of the transactions."""
    with follower(log, batch_size=100) as fold:
        assert fold.to({AT: target}, lambda: None)
    assert stored(log) == {AT: target}
    assert query(log, IMAGES) == [(images, images)]


def test_a_log_that_ends_before_the_target_is_refused(log: Settings) -> None:
    with follower(log) as fold, pytest.raises(LogTruncated, match=r"\[0\] ends at 17, .* is folded to 18"):
        fold.to({AT: 18}, lambda: None)


def test_it_stops_when_it_is_time_and_goes_on_from_there(log: Settings) -> None:
    with follower(log) as fold:
        assert not fold.to({AT: 12}, lambda: None, until=time.monotonic())
        assert fold.to({AT: 12}, lambda: None)
    assert query(log, IMAGES) == [(12, 12)]


def test_partitions_that_are_added_begin_where_they_are_said_to(log: Settings) -> None:
    with follower(log) as fold:
        with ledger(log) as offsets:
            offsets.add({(UPLOADED.name, 1): 0})
        fold.add({(UPLOADED.name, 1): 0})
        assert fold.to({AT: 3, (UPLOADED.name, 1): 0}, lambda: None)
    assert stored(log) == {AT: 3, (UPLOADED.name, 1): 0}
