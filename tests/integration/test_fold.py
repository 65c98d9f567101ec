"""The fold on the real lake: exact through duplicates, stale writers and kill -9."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from os import kill
from uuid import UUID, uuid4

import duckdb
import numpy as np
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams import lake
from streams.errors import LogTruncated, StaleWriter
from streams.materialize import Offsets, advance, commit, run
from streams.records import CIRCLE, CirclesDetected, ImageUploaded, object_ids
from streams.settings import Settings
from streams.topics import DETECTED, UPLOADED
from streams.views import Message
from tests.integration.flow import produce, query, stages, uploaded, wait_until


def detected(image_id: UUID, count: int = 3) -> CirclesDetected:
    circles = np.zeros(count, CIRCLE)
    circles["object_id"] = np.array([i.bytes for i in object_ids(image_id, "circles", "1", count)], "V16")
    circles["radius"] = circles["x_max"] = circles["y_max"] = np.arange(1, count + 1)
    return CirclesDetected(
        event_id=uuid4(), image_id=image_id, model_name="circles", model_version="1", latency_ms=1,
        detected_at=datetime.now(UTC), source_partition=0, source_offset=0, circles=circles,
    )  # fmt: skip


def message(offset: int, record: ImageUploaded) -> Message:
    return Message(UPLOADED.name, 0, offset, record.uploaded_at, None, b"", (), record)


@pytest.fixture
def offsets(settings: Settings) -> Offsets:
    """The view's tables, with partition 0 of the uploads at its start."""
    lake.create(settings)
    with lake.connect(settings, read_only=False) as view:
        view.execute(f"INSERT INTO lake.offsets VALUES ('{UPLOADED.name}', 0, 0)")  # noqa: S608
    return {(UPLOADED.name, 0): 0}


def test_a_stale_writer_commits_nothing(settings: Settings, offsets: Offsets) -> None:
    with lake.connect(settings, read_only=False) as stale, lake.connect(settings, read_only=False) as current:
        commit(current, [message(0, uploaded())], offsets)
        with pytest.raises(StaleWriter):
            commit(stale, [message(0, uploaded())], offsets)
    assert query(settings, "SELECT count(*) FROM lake.images") == [(1,)]


def test_of_two_writers_at_the_same_moment_one_commits(settings: Settings, offsets: Offsets) -> None:
    """Both have passed the compare-and-set when the first commits."""
    with lake.connect(settings, read_only=False) as slow, lake.connect(settings, read_only=False) as quick:
        slow.execute("BEGIN")
        advance(slow, offsets, {(UPLOADED.name, 0): 1})
        commit(quick, [message(0, uploaded())], offsets)
        with pytest.raises(duckdb.Error, match=r"(?i)conflict") as refused:
            slow.execute("COMMIT")
        assert isinstance(
            refused.value, duckdb.TransactionException
        )  # what `commit` takes for a stale writer
    assert query(settings, "SELECT next_offset FROM lake.offsets") == [(1,)]


def test_a_message_that_comes_twice_is_one_row(settings: Settings, offsets: Offsets) -> None:
    record = uploaded()
    with lake.connect(settings, read_only=False) as view:
        at = commit(view, [message(0, record), message(1, record)], offsets)
        commit(view, [message(2, record)], at)
    assert query(settings, "SELECT count(*), min(log_offset) FROM lake.images") == [(1, 0)]


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
    lake.create(settings)
    with lake.connect(settings, read_only=False) as view:
        for partition in range(settings.topic_partitions):
            view.execute(f"INSERT INTO lake.offsets VALUES ('{UPLOADED.name}', {partition}, 0)")  # noqa: S608
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for future in admin.delete_records([TopicPartition(UPLOADED.name, 1, 5)]).values():
        future.result()
    with pytest.raises(
        LogTruncated, match=r"images.uploaded\[1\] holds offsets 5 to \d+, but the view goes on at 0"
    ):
        run(settings, threading.Event())
