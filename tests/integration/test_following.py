"""Replays without an end, beside live traffic: nothing lost, paused or killed, until ended or promoted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams import lake, promotions, replays
from streams.records import CirclesDetected
from streams.reevaluation import ReplayRequested
from streams.replay import LOOK_S
from streams.replay_progress import how_far
from streams.replay_requests import change, request
from streams.replays import Missed, Progress, Replay
from streams.settings import Settings
from streams.topics import DETECTED, UPLOADED
from streams.version import Version
from tests.integration.conftest import Fresh
from tests.integration.flow import LIVE, produce, query, read_all, stages, uploaded, wait_until
from tests.integration.model_server import ModelServer, model_server
from tests.integration.test_replay import WORKERS, another, detections, is_in, logged, rests, told

TWO = Version("circles", "2")


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        server.release.set()
        yield server


@pytest.fixture
def settings(fresh: Fresh, model: ModelServer) -> Settings:
    return fresh(model_server_url=model.url, model_version="1", fold_linger_s=0.01)


def found(settings: Settings, replay: ReplayRequested) -> tuple[Replay | None, Progress | None]:
    with lake.connect(settings, read_only=True) as view:
        for each in replays.find(view):
            if each.requested.replay_id == replay.replay_id:
                return each, how_far(settings, view, each)
    return None, None


def missed(settings: Settings, replay: ReplayRequested) -> list[Missed]:
    with lake.connect(settings, read_only=True) as view:
        return replays.missed(view, replay.replay_id, 100)


def is_at(settings: Settings, replay: ReplayRequested, progress: Progress) -> bool:
    now = found(settings, replay)[1]
    return now is not None and replace(now, waiting_since=None) == progress


def test_it_takes_what_comes_and_rests_goes_on_and_ends_when_it_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.replay_progress.DATED_S", 30)  # on a busy machine a look may take long
    with stages(settings, *WORKERS):
        logged(settings, 4)
        replay, before = request(settings, *TWO, by="anna", follow=True)
        assert before == Progress(0, 0, 0, 0)
        wait_until(lambda: found(settings, replay)[0])
        first = logged(settings, 10)
        produce(settings, UPLOADED, uploaded())  # whose bytes are nowhere
        wait_until(lambda: is_at(settings, replay, Progress(11, 10, 1, 0)))
        now, _ = found(settings, replay)
        assert now and (now.state, now.shown) == ("running", "following")
        wait_until(lambda: missed(settings, replay))  # the group's offset is committed before the fold
        assert [each.error for each in missed(settings, replay)] == ["ObjectUnreadable"]

        told(settings, replay, "paused")
        wait_until(lambda: rests(settings, replay))
        later = logged(settings, 6)
        time.sleep(LOOK_S)
        assert is_at(settings, replay, Progress(11, 10, 1, 6))
        looks = [found(settings, replay)[1] for _ in range(20)]
        since = [look.waiting_since for look in looks if look and look.waiting_since]
        assert len(since) == len(looks)
        assert abs(since[0] - later[0].uploaded_at) < timedelta(seconds=5)
        told(settings, replay, "running")
        wait_until(lambda: found(settings, replay)[1] == Progress(17, 16, 1, 0, None))
        wait_until(lambda: len(query(settings, "FROM lake.detections")) == 16)
        rows = query(settings, "SELECT image_id, replay_id FROM lake.detections")
        assert sorted(rows) == sorted((event.image_id, replay.replay_id) for event in first + later)
        told_to = [event.image_id for event in first + later]
        assert detections(settings) == dict.fromkeys(told_to, 1)

        now, _ = found(settings, replay)
        assert now is not None
        assert change(settings, now, "cancelled", by="anna") == "finished"
        wait_until(lambda: is_in(settings, replay, "finished") and rests(settings, replay))
        logged(settings, 3)
        time.sleep(LOOK_S)
        assert is_at(settings, replay, Progress(17, 16, 1, 0))
        with pytest.raises(ValueError, match="is finished: it cannot be resumed"):
            change(settings, found(settings, replay)[0] or now, "running", by="anna")


def test_kill_9_of_those_who_share_it_loses_and_doubles_nothing(
    settings: Settings, model: ModelServer
) -> None:
    model.takes_s = 0.02
    with stages(settings, *WORKERS) as supervisor, another(settings, "second"):
        replay, _ = request(settings, *TWO, by="anna", follow=True, share=0.5)
        wait_until(lambda: found(settings, replay)[0])
        events = []
        for _ in range(4):
            events += logged(settings, 60)
            with suppress(KeyError, ProcessLookupError):
                os.kill(supervisor.pids()["replayer"], signal.SIGKILL)
            time.sleep(LOOK_S)
        wanted = {event.image_id for event in events if replays.is_about(replay, event)}
        assert 0 < len(wanted) < len(events)
        wait_until(lambda: is_at(settings, replay, Progress(len(wanted), len(wanted), 0, 0)), timeout_s=90)
        assert query(settings, "SELECT count(*) FROM lake.replays") == [(1,)]
        wait_until(lambda: len(query(settings, "FROM lake.detections")) == len(wanted))
        rows: list[tuple[UUID]] = query(settings, "SELECT image_id FROM lake.detections")
        assert {image_id for (image_id,) in rows} == wanted


def test_it_begins_with_what_was_uploaded_since_and_leaves_what_was_detected(
    settings: Settings, model: ModelServer
) -> None:
    with stages(settings, *WORKERS):
        events = logged(settings, 12)
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.images") == [(12,)])
        once, _ = request(settings, *TWO, by="anna", images=tuple(e.image_id for e in events[6:9]))
        wait_until(lambda: is_in(settings, once, "finished"))
        before = model.calls
        since = events[4].uploaded_at
        replay, _ = request(settings, *TWO, by="anna", follow=True, since=since)
        later = logged(settings, 2)
        wait_until(lambda: is_at(settings, replay, Progress(10, 10, 0, 0)))
        assert detections(settings) == {event.image_id: 1 for event in events[4:] + later}
        assert model.calls - before == 10 - 3


def test_what_the_log_let_go_of_while_it_rested_is_listed(settings: Settings) -> None:
    with stages(settings, *WORKERS):
        logged(settings, 3)
        replay, _ = request(settings, *TWO, by="anna", follow=True)
        wait_until(lambda: found(settings, replay)[0])
        first = logged(settings, 1)
        wait_until(lambda: is_at(settings, replay, Progress(1, 1, 0, 0)))
        told(settings, replay, "paused")
        wait_until(lambda: rests(settings, replay))
        gone = {event.image_id for event in logged(settings, 8)}
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.images") == [(12,)])
        ends = query(settings, "SELECT log_partition, max(log_offset) + 1 FROM lake.images GROUP BY ALL")
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
        until = [TopicPartition(UPLOADED.name, partition, end) for partition, end in ends]
        for future in admin.delete_records(until).values():
            future.result()
        later = logged(settings, 2)
        told(settings, replay, "running")
        wait_until(lambda: is_at(settings, replay, Progress(11, 3, 8, 0)))
        wait_until(lambda: len(missed(settings, replay)) == 8)
        assert {each.image_id for each in missed(settings, replay)} == gone
        assert {each.error for each in missed(settings, replay)} == {"LogTruncated"}
        assert detections(settings).keys() == {event.image_id for event in first + later}


def test_what_cannot_follow_is_said(settings: Settings) -> None:
    with stages(settings, "materializer", "worker"):
        logged(settings, 1)
        wait_until(lambda: query(settings, "FROM lake.detections"))
        with pytest.raises(ValueError, match="circles:1 is the current one: it detects what is uploaded"):
            request(settings, "circles", "1", by="anna", follow=True)
        with pytest.raises(ValueError, match="has no end: sample cannot be asked"):
            request(settings, *TWO, by="anna", follow=True, sample=3)
        with pytest.raises(ValueError, match="share is above 0, up to 1, not 0"):
            request(settings, *TWO, by="anna", follow=True, share=0)
        first, _ = request(settings, *TWO, by="anna", follow=True, source_id="gate")
        request(settings, *TWO, by="anna", follow=True, source_id="door")
        request(settings, *TWO, by="anna")  # which ends, and so is no second one that follows
        with pytest.raises(ValueError, match=f"replay {first.replay_id} follows for circles:2 already"):
            request(settings, *TWO, by="anna", follow=True, share=0.5, source_id="gate")
        with pytest.raises(ValueError, match="follows for circles:2 already"):
            request(settings, *TWO, by="anna", follow=True)


def test_once_its_version_is_promoted_it_comes_to_its_end(settings: Settings) -> None:
    with (
        stages(settings, *LIVE, "replayer"),
        httpx.Client(base_url=settings.api_url, timeout=60) as api,
    ):
        early = logged(settings, 2)
        wait_until(lambda: len(query(settings, "FROM lake.detections")) == 2)
        started = api.post("/replays", json={"model": "circles:2", "follow": True, "share": 1})
        assert (started.status_code, started.json()["state"]) == (201, "following")
        place = started.headers["location"]
        assert api.get(place).status_code == 200  # at once
        beside = logged(settings, 8)
        wait_until(lambda: api.get(place).json()["progress"]["detected"] == 8)
        wait_until(lambda: len(query(settings, "FROM lake.detections")) == 18)
        by_two = {"model": "circles", "version": "2"}
        wait_until(lambda: api.get("/images", params=by_two).json()["count"] == 8)
        promotions.promote(settings, TWO, by="anna")
        wait_until(lambda: api.get(place).json()["state"] == "finished")
        assert api.get(place).json()["changed_by"] == "its promotion"
        later = logged(settings, 4)
        wait_until(lambda: len(query(settings, "FROM lake.detections")) == 22)
        records = [r for r in read_all(settings, DETECTED) if isinstance(r, CirclesDetected)]
    found = sorted((r.image_id, r.model_version, r.replay_id is None) for r in records)
    assert found == sorted(
        [(e.image_id, "1", True) for e in early + beside]
        + [(e.image_id, "2", False) for e in beside]
        + [(e.image_id, "2", True) for e in later]
    )
