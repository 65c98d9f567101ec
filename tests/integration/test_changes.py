"""`GET /changes` over real stages: each image once per kind, however often the reader and the API die."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import httpx
import orjson
import pytest

from streams import lake
from streams.settings import Settings
from tests.integration.access import client, key
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, stages, wait_until

CUTS = 12
"""How often the reader leaves."""


class Event(NamedTuple):
    """An event of a stream; its kind is empty where there is an id alone."""

    id: str
    kind: str
    data: dict[str, Any]


@contextmanager
def stream(api: httpx.Client, after: str = "", **asked: Any) -> Iterator[Iterator[Event]]:
    """The events of a stream behind an id."""
    headers = {"Last-Event-ID": after} if after else {}
    with api.stream("GET", "/changes", params=asked, headers=headers) as answer:
        if answer.status_code != 200:
            answer.read()
        answer.raise_for_status()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


def events(answer: httpx.Response) -> Iterator[Event]:
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(":")
            found[name] = value.strip()
        elif "id" in found:
            yield Event(found["id"], found.get("event", ""), orjson.loads(found.get("data", "{}")))
            found = {}


def send(api: httpx.Client, seed: int, source: str = "") -> str:
    """Uploads an image, however often the API has to be asked; its id."""
    while True:
        with suppress(httpx.TransportError):
            answer = api.post(
                "/images/",
                files={"file": ("a", picture(seed))},
                data={"source": source},
                headers={"Prefer": "respond-async"},
            )
            if answer.status_code in (202, 409):
                return str(answer.json()["image_id"])
            assert answer.status_code == 503, answer.text
        time.sleep(0.2)


@pytest.fixture(scope="module")
def settings(fresh: Fresh) -> Settings:
    return fresh(mode="dummy", auth="on", streams_at_once=3)


def test_each_image_comes_exactly_once_per_kind_whoever_is_cut_or_killed(settings: Settings) -> None:
    pick, sent, seen = random.Random(7), list[str](), list[Event]()
    done = threading.Event()
    with stages(settings) as supervisor, client(settings, key(settings, None)) as api:
        with stream(api) as begun:
            last = next(begun).id
        sending = threading.Thread(target=lambda: upload_until(done, settings, sent), daemon=True)
        sending.start()
        try:
            for cut in range(CUTS):
                if cut in (CUTS // 3, 2 * CUTS // 3):
                    os.kill(supervisor.pids()["api"], signal.SIGKILL)
                with suppress(httpx.HTTPError), stream(api, last) as told:
                    for _ in range(pick.randrange(1, 40)):
                        event = next(told)
                        last = event.id
                        seen += [event] if event.kind else []
                time.sleep(pick.choice([0, 0, 0.5]))
        finally:
            done.set()
            sending.join(60)
        wait_until(lambda: follow_to_the_end(api, last, seen, 2 * len(sent)))
    counts = Counter((event.data["image_id"], event.kind) for event in seen)
    assert len(sent) > 20
    assert counts == Counter((image_id, kind) for image_id in sent for kind in ("uploaded", "detected"))
    assert len({event.id for event in seen}) == len(seen)


def upload_until(done: threading.Event, settings: Settings, sent: list[str]) -> None:
    with client(settings, key(settings, None)) as api:
        while not done.is_set():
            sent.append(send(api, len(sent)))


def follow_to_the_end(api: httpx.Client, last: str, seen: list[Event], count: int) -> bool:
    """Read on until there are so many; from the newest id that was seen."""
    after = seen[-1].id if seen else last
    with suppress(httpx.HTTPError), stream(api, after) as told:
        while len(seen) < count:
            event = next(told)
            seen += [event] if event.kind else []
    return len(seen) >= count


def test_who_follows_gets_what_they_ask_for_of_their_own_project(settings: Settings) -> None:
    with (
        stages(settings),
        client(settings, key(settings, None)) as every,
        client(settings, key(settings, "mine")) as mine,
        client(settings, key(settings, "theirs")) as theirs,
    ):
        with stream(mine) as begun, stream(theirs) as of_theirs, stream(every) as of_every:
            start, foreign, position = next(begun).id, next(of_theirs).id, next(of_every).id
            refused = every.get("/changes")
            assert (refused.status_code, "3 follow already" in refused.json()["detail"]) == (503, True)
        own = [send(mine, seed, "gate" if seed % 2 else "") for seed in range(1000, 1004)]
        others = [send(theirs, seed, "gate") for seed in range(1100, 1103)]

        def first(api: httpx.Client, count: int, after: str, **asked: Any) -> list[Event]:
            with stream(api, after, **asked) as told:
                return [event for event in (next(told) for _ in range(count + 1)) if event.kind]

        got = first(mine, 8, start)
        assert {event.data["image_id"] for event in got} == set(own)
        assert {len(event.id) for event in got} == {len(start)}
        detected = first(mine, 2, start, kind="detected", source="gate")
        assert {event.data["image_id"] for event in detected} == {own[1], own[3]}
        assert {event.kind for event in detected} == {"detected"}
        rest = first(mine, 3, got[4].id)
        assert [event.data for event in rest] == [event.data for event in got[5:]]
        uploads = first(every, 7, position, kind="uploaded")
        assert {event.data["image_id"] for event in uploads} == {*own, *others}
        # What is not this caller's id is none at all.
        for wrong in (foreign, position, "1", "lake_1.1.1.1"):
            answer = mine.get("/changes", headers={"Last-Event-ID": wrong})
            assert (answer.status_code, "Last-Event-ID" in answer.json()["detail"]) == (400, True)
        generation, _, snapshot = every.get("/images").json()["snapshot"].partition(".")
        for gone in (f"lake_0.{snapshot}", f"{generation}.{int(snapshot) + 1000}"):
            answer = every.get("/changes", headers={"Last-Event-ID": gone})
            assert answer.status_code == 410
            assert answer.headers["content-type"] == "application/problem+json"


def test_an_id_whose_successors_are_not_kept_is_410(fresh: Fresh) -> None:
    settings = fresh(mode="dummy")
    with stages(settings) as supervisor, client(settings) as api:
        with stream(api) as begun:
            start = next(begun).id
        send(api, 1)
        wait_until(lambda: api.get("/status").json()["detected"] == 1)
        with lake.connect(settings, read_only=False) as view:
            view.execute("CALL ducklake_expire_snapshots('lake', older_than => now())")
        with stream(api, start) as told:  # this process has them in memory
            assert [event.kind for event in (next(told), next(told))] == ["", "uploaded"]
        before = supervisor.pids()["api"]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: supervisor.pids().get("api", before) != before and ready(api))
        answer = api.get("/changes", headers={"Last-Event-ID": start})
        assert (answer.status_code, answer.json()["title"]) == (410, "Gone")


def ready(api: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return api.get("/images").json()["snapshot"] is not None
    return False
