"""Replays on a real log and a real view: each image once, whatever is killed, paused or gone."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import uuid_utils.compat as uuids
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams import lake, replays
from streams.records import CirclesDetected, ImageUploaded
from streams.reevaluation import ReplayRequested, State
from streams.replay import LOOK_S
from streams.replay_requests import change, request
from streams.replays import Progress, Replay
from streams.settings import Settings
from streams.topics import DETECTED, REPLAYS, UPLOADED, replay_group
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, produce, query, read_all, stages, uploaded, wait_until
from tests.integration.model_server import ModelServer, model_server

WORKERS = ("materializer", "replayer")


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        server.release.set()
        yield server


@pytest.fixture
def settings(fresh: Fresh, model: ModelServer) -> Settings:
    return fresh(model_server_url=model.url, fold_linger_s=0.01)


def logged(settings: Settings, count: int, **more: Any) -> list[ImageUploaded]:
    """Images in the store and on the log."""
    folder = settings.data_dir / "objects"
    folder.mkdir(exist_ok=True)
    events = []
    for seed in range(count):
        data = picture(seed)
        image_id = uuids.uuid7()
        path = folder / f"{image_id}.png"
        path.write_bytes(data)
        facts = {"uri": path.as_uri(), "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        events.append(uploaded(image_id=image_id, **facts, **more))
    produce(settings, UPLOADED, *events)
    return events


def found(settings: Settings, replay: ReplayRequested) -> tuple[Replay | None, Progress]:
    with lake.connect(settings, read_only=True) as view:
        all_of_them = {each.requested.replay_id: each for each in replays.find(view)}
        return all_of_them.get(replay.replay_id), replays.progress(view, replay)


def is_in(settings: Settings, replay: ReplayRequested, state: State) -> bool:
    now, _ = found(settings, replay)
    return now is not None and now.state == state


def told(settings: Settings, replay: ReplayRequested, state: State) -> None:
    """Bring a replay that is in the view to a state."""
    wait_until(lambda: found(settings, replay)[0])
    now, _ = found(settings, replay)
    assert now is not None
    change(settings, now, state, by="anna")
    wait_until(lambda: is_in(settings, replay, state))


@contextmanager
def another(settings: Settings, name: str) -> Iterator[None]:
    """A second replayer, on a folder of its own."""
    folder = settings.data_dir / name
    folder.mkdir()
    given = {
        "data_dir": folder, "storage_url": settings.objects_url, "lake_url": settings.lake_path,
        "replay_member": name,
    }  # fmt: skip
    with stages(settings.model_copy(update=given), "replayer"):
        yield


def detections(settings: Settings) -> dict[UUID, int]:
    """How many detections each image has on the log, of version 2."""
    records = [r for r in read_all(settings, DETECTED) if isinstance(r, CirclesDetected)]
    return dict(Counter(record.image_id for record in records if record.model_version == "2"))


def rests(settings: Settings, replay: ReplayRequested) -> bool:
    """Whether no process works on it."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    group = replay_group(replay.replay_id)
    return not admin.describe_consumer_groups([group])[group].result().members


def test_each_image_is_detected_once_and_what_is_gone_is_listed(
    settings: Settings, model: ModelServer
) -> None:
    with stages(settings, *WORKERS):
        events = logged(settings, 30)
        gone, changed = (Path(event.uri.removeprefix("file://")) for event in events[:2])
        kept = gone.read_bytes()
        gone.unlink()
        changed.write_bytes(changed.read_bytes()[:-1] + b"!")
        replay, before = request(settings, "circles", "2", by="anna")
        assert before == Progress(30, 0, 0)
        wait_until(lambda: is_in(settings, replay, "finished"))
        assert found(settings, replay)[1] == Progress(30, 28, 2)
        with lake.connect(settings, read_only=True) as view:
            missed = {each.image_id: each for each in replays.missed(view, replay.replay_id, 10)}
        assert missed.keys() == {event.image_id for event in events[:2]}
        assert "does not exist" in missed[events[0].image_id].reason
        assert "has SHA-256" in missed[events[1].image_id].reason
        assert detections(settings) == {event.image_id: 1 for event in events[2:]}
        rows = query(settings, "SELECT DISTINCT replay_id, model_version FROM lake.detections")
        assert rows == [(replay.replay_id, "2")]

        gone.write_bytes(kept)
        again, before = request(settings, "circles", "2", by="anna")
        assert before == Progress(30, 28, 0)
        wait_until(lambda: is_in(settings, again, "finished"))
        assert found(settings, again)[1] == Progress(30, 29, 1)
        assert detections(settings) == {event.image_id: 1 for event in (events[0], *events[2:])}
    assert model.background == model.calls == 29


def test_kill_9_again_and_again_does_nothing_twice(settings: Settings, model: ModelServer) -> None:
    model.takes_s, model.speaks_v2 = 0.06, True  # much longer for all than for a few looks
    with stages(settings, *WORKERS) as supervisor:
        events = logged(settings, 300)
        replay, _ = request(settings, "circles", "2", by="anna", calls_at_once=4)
        kills, last = 0, 0
        while not is_in(settings, replay, "finished"):
            now = found(settings, replay)[1].detected
            assert now >= last, "progress goes back"
            if now >= last + 40 and kills < 5:
                last = now
                with suppress(KeyError, ProcessLookupError):
                    os.kill(supervisor.pids()["replayer"], signal.SIGKILL)
                    kills += 1
    assert kills >= 3
    assert detections(settings).keys() == {event.image_id for event in events}
    # Only what was under way when a process died is asked for again.
    assert model.calls <= 300 + kills * replay.calls_at_once
    assert model.most_images == 2


def test_two_processes_share_a_replay_that_is_paused_and_resumed(
    settings: Settings, model: ModelServer
) -> None:
    with stages(settings, *WORKERS), another(settings, "second"):
        events = logged(settings, 60)
        model.takes_s = 1  # so that it is paused long before its end
        replay, _ = request(settings, "circles", "2", by="anna", calls_at_once=1)
        wait_until(lambda: model.most_at_once >= 2)  # one of each
        told(settings, replay, "paused")
        wait_until(lambda: rests(settings, replay))
        before = model.calls
        time.sleep(LOOK_S)
        assert before == model.calls < len(events)
        model.takes_s = 0
        told(settings, replay, "running")
        wait_until(lambda: is_in(settings, replay, "finished"))
        finished = [r for r in read_all(settings, REPLAYS) if getattr(r, "state", "") == "finished"]
    assert detections(settings) == {event.image_id: 1 for event in events}
    assert 1 <= len(finished) <= 2
    (rows,) = query(settings, "SELECT count(*) FROM lake.replay_changes WHERE state = 'finished'")
    assert rows == (1,)


def test_a_replay_that_is_paused_does_nothing_and_one_that_is_cancelled_stays_so(settings: Settings) -> None:
    with stages(settings, "materializer"):
        logged(settings, 5)
        replay, _ = request(settings, "circles", "2", by="anna")
        told(settings, replay, "paused")
        with stages(settings, "replayer"):
            told(settings, replay, "cancelled")
            now, _ = found(settings, replay)
            assert now is not None
            with pytest.raises(ValueError, match="is cancelled: it cannot be resumed"):
                change(settings, now, "running", by="anna")
            other, _ = request(settings, "circles", "2", by="anna", source_id="")
            wait_until(lambda: is_in(settings, other, "finished"))
    assert query(settings, "SELECT DISTINCT replay_id FROM lake.detections") == [(other.replay_id,)]


def test_what_cannot_be_replayed_is_said_and_nothing_is_requested(
    settings: Settings, model: ModelServer
) -> None:
    with stages(settings, "materializer"):
        events = logged(settings, 20)
        with pytest.raises(ValueError, match="no image on the log meets all"):
            request(settings, "circles", "2", by="anna", source_id="no camera")
        model.answer = (404, b"{}")
        with pytest.raises(ValueError, match="has no circles:9"):
            request(settings, "circles", "9", by="anna")
        model.answer = (200, b"{}")
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.images") == [(20,)])
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
        ends = dict(
            query(settings, "SELECT log_partition, max(log_offset) + 1 FROM lake.images GROUP BY ALL")
        )
        partition, end = ends.popitem()
        for future in admin.delete_records([TopicPartition(UPLOADED.name, partition, end)]).values():
            future.result()
        with pytest.raises(ValueError, match=rf"{end} of these 20 images are no longer on the log: ask for"):
            request(settings, "circles", "2", by="anna")
        places = dict(query(settings, "SELECT image_id, log_partition FROM lake.images"))
        here = tuple(event.image_id for event in events if places[event.image_id] != partition)
        _, before = request(settings, "circles", "2", by="anna", images=here)
        assert before.images == len(here) == 20 - end
    assert len(read_all(settings, REPLAYS)) == 1


def test_what_the_log_lets_go_of_meanwhile_is_missed_and_ends_nothing(settings: Settings) -> None:
    """A partition to its very end, so that no message tells that those before it are gone."""
    with stages(settings, "materializer"):
        logged(settings, 20)
        replay, _ = request(settings, "circles", "2", by="anna")
        partition = max(range(len(replay.ends)), key=replay.ends.__getitem__)
        gone = replay.ends[partition]
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
        for future in admin.delete_records([TopicPartition(UPLOADED.name, partition, gone)]).values():
            future.result()
        with stages(settings, "replayer"):
            wait_until(lambda: is_in(settings, replay, "finished"))
        assert found(settings, replay)[1] == Progress(20, 20 - gone, gone)
        with lake.connect(settings, read_only=True) as view:
            missed = replays.missed(view, replay.replay_id, 20)
    assert {each.error for each in missed} == {"LogTruncated"}
