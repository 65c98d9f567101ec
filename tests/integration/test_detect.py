"""The detect stage on a real broker: each trap of Faust that its shape is there to avoid."""

from __future__ import annotations

import hashlib
import signal
import time
from os import kill
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.records import ImageFailed, ImageUploaded, subject
from streams.settings import Settings
from streams.topics import DETECT_GROUP, DETECTED, FAILED, UPLOADED
from tests.integration.conftest import Fresh
from tests.integration.flow import alter, picture, produce, read_all, stages, uploaded, wait_until
from tests.integration.model_server import CIRCLE, model_server


def stored(settings: Settings, count: int) -> list[ImageUploaded]:
    """Events whose images lie in the store."""
    folder = settings.data_dir / "objects"
    folder.mkdir(exist_ok=True)
    events = []
    for seed in range(count):
        data = picture(seed)
        path = folder / f"{seed}.png"
        path.write_bytes(data)
        events.append(
            uploaded(uri=path.as_uri(), sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        )
    return events


def images_of(settings: Settings) -> list[str]:
    return [str(subject(record)) for record in read_all(settings, DETECTED)]


def committed(settings: Settings) -> int:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    places = [TopicPartition(UPLOADED.name, p) for p in range(settings.topic_partitions)]
    (answer,) = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(DETECT_GROUP, places)]
    ).values()
    return sum(max(place.offset, 0) for place in answer.result().topic_partitions)


def test_kill_9_with_calls_in_flight_loses_no_image(fresh: Fresh) -> None:
    """Traps 1 to 3: acknowledgement before the outcome, concurrency, the buffer on SIGTERM."""
    with model_server() as model:
        settings = fresh(model_server_url=model.url)
        events = stored(settings, 60)
        with stages(settings, "worker") as supervisor:
            produce(settings, UPLOADED, *events)
            for number in (signal.SIGKILL, signal.SIGKILL):
                wait_until(lambda: model.calls > 0)
                kill(supervisor.pids()["worker"], number)
                assert committed(settings) == 0
                model.calls = 0
            model.release.set()
            wait_until(lambda: len(set(images_of(settings))) == 60)
            wait_until(lambda: committed(settings) == 60)
        assert set(images_of(settings)) == {str(event.image_id) for event in events}


def test_an_image_that_takes_long_is_not_committed_past_by_its_neighbours(fresh: Fresh) -> None:
    """In a new process Faust commits the first run of acknowledged offsets, wherever it begins."""
    neighbours = 0
    for _ in range(3):  # on a busy machine a worker may begin with a batch of the one event that came first
        with model_server() as model:
            settings = fresh(model_server_url=model.url, topic_partitions=1)
            events = stored(settings, 20)
            model.held = picture(0)
            produce(settings, UPLOADED, *events)
            with stages(settings, "worker"):
                wait_until(lambda: 0 < model.calls == len(images_of(settings)) + 1)  # noqa: B023 it is called here
                time.sleep(2.5)  # its neighbours are done, and commits are due every second
                neighbours = len(images_of(settings))
                assert committed(settings) == 0
                model.release.set()
                wait_until(lambda: committed(settings) == 20)  # noqa: B023
            assert set(images_of(settings)) == {str(event.image_id) for event in events}
        if neighbours:
            return
    raise AssertionError("it never had a neighbour in its batch")


def test_sigterm_finishes_what_is_in_flight_and_loses_nothing(fresh: Fresh) -> None:
    with model_server() as model:
        settings = fresh(model_server_url=model.url)
        events = stored(settings, 40)
        with stages(settings, "worker") as supervisor:
            produce(settings, UPLOADED, *events)
            wait_until(lambda: model.calls > 0)
            kill(supervisor.pids()["worker"], signal.SIGTERM)
            model.release.set()
            wait_until(lambda: len(set(images_of(settings))) == 40)
        assert set(images_of(settings)) == {str(event.image_id) for event in events}


def test_a_model_that_is_down_pauses_the_stage_and_makes_no_dead_letter(fresh: Fresh) -> None:
    with model_server() as model:
        settings = fresh(model_server_url=model.url, model_service_retries=0)
        model.answer = (503, b"loading")
        model.release.set()
        with stages(settings, "worker") as supervisor:
            produce(settings, UPLOADED, *stored(settings, 8))
            log = settings.data_dir / "logs" / "worker.log"
            wait_until(lambda: "waits for the model server, nothing is lost: " in log.read_text())
            assert (committed(settings), read_all(settings, FAILED)) == (0, [])
            calls = model.calls
            assert calls <= 8  # the breaker is open: it is probed, not called
            model.answer = (200, CIRCLE)
            wait_until(lambda: len(set(images_of(settings))) == 8)
            assert "goes on: the model server answers again" in log.read_text()
            assert supervisor.pids()
        assert read_all(settings, FAILED) == []


def test_sigterm_while_the_model_is_down_ends_the_worker_soon(fresh: Fresh) -> None:
    with model_server() as model:
        settings = fresh(model_server_url=model.url, model_service_retries=0)
        model.answer = (503, b"loading")
        model.release.set()
        with stages(settings, "worker") as supervisor:
            produce(settings, UPLOADED, *stored(settings, 8))
            log = settings.data_dir / "logs" / "worker.log"
            wait_until(lambda: "nothing is lost: " in log.read_text())
            first = supervisor.pids()["worker"]
            kill(first, signal.SIGTERM)
            wait_until(lambda: supervisor.pids().get("worker") not in (None, first), 20)
            model.answer = (200, CIRCLE)
            wait_until(lambda: len(set(images_of(settings))) == 8)


def test_an_outcome_that_the_broker_refuses_keeps_its_event_on_the_log(fresh: Fresh) -> None:
    """Trap 4: an un-awaited send that fails would be logged, and its source offset committed."""
    with model_server() as model:
        settings = fresh(model_server_url=model.url)
        alter(settings, DETECTED, "max.message.bytes", 100)
        model.release.set()
        with stages(settings, "worker"):
            produce(settings, UPLOADED, *stored(settings, 4))
            log = settings.data_dir / "logs" / "worker.log"
            wait_until(lambda: log.read_text().count("MessageSizeTooLarge") >= 2)
            assert committed(settings) == 0
            alter(settings, DETECTED, "max.message.bytes", 1_000_000)
            wait_until(lambda: len(set(images_of(settings))) == 4)


def test_two_workers_share_the_images_and_one_may_die(fresh: Fresh, tmp_path: Path) -> None:
    with model_server() as model:
        settings = fresh(model_server_url=model.url)
        events = stored(settings, 80)
        model.release.set()
        with (
            stages(settings, "worker"),
            stages(
                settings.model_copy(update={"data_dir": settings.data_dir, "ready_file": tmp_path / "b"}),
                "worker",
            ) as second,
        ):
            produce(settings, UPLOADED, *events[:40])
            kill(second.pids()["worker"], signal.SIGKILL)
            produce(settings, UPLOADED, *events[40:])
            wait_until(lambda: len(set(images_of(settings))) == 80)
        assert read_all(settings, FAILED) == []


def test_nonsense_on_the_log_and_from_the_model_becomes_dead_letters_beside_good_images(fresh: Fresh) -> None:
    with model_server() as model:
        settings = fresh(model_server_url=model.url)
        model.release.set()
        good, bad_hash, outside, missing = stored(settings, 4)
        from dataclasses import replace

        from streams.codec import Codec

        framed = Codec().encode(good)
        nonsense = (
            None, b"", b"random bytes", b"\xc3\x01" + bytes(8) + framed[10:], framed[:-9],
            replace(bad_hash, sha256="0" * 64), replace(outside, uri="file:///etc/passwd"),
            replace(missing, uri=missing.uri + "x"),
        )  # fmt: skip
        with stages(settings, "worker"):
            produce(settings, UPLOADED, *nonsense, good)
            wait_until(lambda: len(read_all(settings, FAILED)) == len(nonsense))
            wait_until(lambda: images_of(settings) == [str(good.image_id)])
            wait_until(lambda: committed(settings) == len(nonsense) + 1)
        failed = [record for record in read_all(settings, FAILED) if isinstance(record, ImageFailed)]
        said = "\n".join(f"{letter.error}: {letter.reason}" for letter in failed)
        for part in (
            "InvalidRecord: empty value", "InvalidRecord: unknown framing",
            "InvalidRecord: unknown schema fingerprint", "InvalidRecord: not a valid ImageUploaded",
            "has SHA-256", "is not inside the store", "does not exist",
        ):  # fmt: skip
            assert part in said
        raw = {value for value in nonsense if not isinstance(value, ImageUploaded)}
        assert {letter.value for letter in failed if letter.image_id is None} == raw


def test_a_worker_without_a_broker_says_so_and_ends(settings: Settings) -> None:
    import subprocess
    import sys

    from deploy.local.services import as_environment

    nowhere = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    ended = subprocess.run(
        [sys.executable, "-m", "streams.detect"],
        env=as_environment(nowhere),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert b"127.0.0.1" in ended.stderr
