"""Promotions on a real log: what is served and what detects change with one event, and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import uuid_utils.compat as uuids

from deploy.local.services import as_environment
from streams import lake, promotions
from streams.records import CirclesDetected
from streams.replay_requests import request
from streams.settings import Settings
from streams.topics import ANNOTATED, DETECTED
from streams.version import Version
from tests.examples import annotated
from tests.examples import circles as some_circles
from tests.integration.conftest import Fresh
from tests.integration.flow import LIVE, produce, query, read_all, stages, wait_until
from tests.integration.model_server import model_server
from tests.integration.test_replay import is_in, logged

ONE, TWO = Version("circles", "1"), Version("circles", "2")


def versions(settings: Settings) -> list[str]:
    """Of the detections that the API serves, by image from the oldest."""
    images = httpx.get(f"{settings.api_url}/images", params={"limit": 100}, timeout=20).json()["images"]
    return [image["detection"] and image["detection"]["model_version"] for image in reversed(images)]


def test_a_promotion_changes_what_is_served_and_what_detects_and_back(fresh: Fresh) -> None:
    with model_server() as model:
        model.release.set()
        settings = fresh(model_server_url=model.url, model_version="1")
        with stages(settings, *LIVE, "replayer"):
            early = logged(settings, 6)
            wait_until(lambda: versions(settings) == ["1"] * 6)
            with pytest.raises(ValueError, match="circles:2 has detected no image yet"):
                promotions.promote(settings, TWO, by="anna")
            with pytest.raises(ValueError, match="circles:1 is the current one already"):
                promotions.promote(settings, ONE, by="anna")
            replay, _ = request(settings, *TWO, by="anna", images=tuple(e.image_id for e in early[:5]))
            wait_until(lambda: is_in(settings, replay, "finished"))
            assert versions(settings) == ["1"] * 6
            assert httpx.get(f"{settings.api_url}/status", timeout=20).json()["circles"] == 6

            before, covered, _ = promotions.promote(settings, TWO, by="anna")
            assert (before, covered) == (ONE, (6, 5))
            wait_until(lambda: versions(settings) == ["2"] * 5 + ["1"])
            later = logged(settings, 4)
            wait_until(lambda: versions(settings) == ["2"] * 5 + ["1"] + ["2"] * 4)

            promotions.promote(settings, ONE, by="anna", back=True)
            wait_until(lambda: versions(settings) == ["1"] * 6 + ["2"] * 4)
            last = logged(settings, 2)
            wait_until(lambda: versions(settings) == ["1"] * 6 + ["2"] * 4 + ["1"] * 2)
            with lake.connect(settings, read_only=True) as view:
                made = promotions.history(view)
        assert [(each.version, each.previous, each.back) for each in made] == [
            (ONE, TWO, True),
            (TWO, ONE, False),
        ]
        records = [r for r in read_all(settings, DETECTED) if isinstance(r, CirclesDetected)]
        live = sorted((r.image_id, r.model_version) for r in records if r.replay_id is None)
        assert live == sorted(
            [*((e.image_id, "1") for e in early + last), *((e.image_id, "2") for e in later)]
        )


def test_over_http_a_replay_is_followed_and_its_version_promoted(fresh: Fresh) -> None:
    with model_server() as model:
        model.release.set()
        settings = fresh(model_server_url=model.url, model_version="1")
        with stages(settings, *LIVE, "replayer"), httpx.Client(base_url=settings.api_url, timeout=60) as api:
            assert api.get("/promotions").json() == {"current": None, "promotions": [], "count": 0}
            assert api.post("/promotions", json={"model": "circles:2"}).status_code == 409
            logged(settings, 8)
            wait_until(lambda: versions(settings) == ["1"] * 8)
            model.takes_s = 0.2
            started = api.post("/replays", json={"model": "circles:2", "sample": 6, "calls_at_once": 1})
            assert (started.status_code, started.json()["progress"]["left"]) == (201, 6)
            place = started.headers["location"]
            assert api.get(place).json()["state"] == "running"  # at once
            with api.stream("GET", f"{place}/progress") as events:
                lines = [line.removeprefix("data: ") for line in events.iter_lines() if line[:5] == "data:"]
            told = list(map(json.loads, lines))
            counts = [each["detected"] for each in told]
            assert counts == sorted(counts)
            assert (told[-1]["state"], told[-1]["detected"], told[-1]["left"]) == ("finished", 6, 0)
            assert api.post(f"{place}/cancel").status_code == 409
            assert [r["state"] for r in api.get("/replays").json()["replays"]] == ["finished"]
            promoted = api.post("/promotions", json={"model": "circles:2"})
            assert promoted.json() == {
                "current": "circles:2",
                "previous": "circles:1",
                "images": 8,
                "detected": 6,
            }
            after = {"after": promoted.headers["circles-position"]}
            assert sorted(served(api, after)) == ["1"] * 2 + ["2"] * 6  # at once
            assert api.get("/promotions").json()["current"] == "circles:2"
            back = api.post("/promotions", json={"back": True})
            assert back.json()["current"] == "circles:1"
            assert served(api, {"after": back.headers["circles-position"]}) == ["1"] * 8


def served(api: httpx.Client, after: dict[str, str]) -> list[str]:
    images = api.get("/images", params=after).json()["images"]
    return [image["detection"]["model_version"] for image in images]


def circles(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words],
        env=os.environ | as_environment(settings), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_version_is_promoted_only_if_it_meets_what_is_required(fresh: Fresh) -> None:
    """Both versions find the one true circle of every image, so neither is better."""
    with model_server() as model:
        model.release.set()
        settings = fresh(model_server_url=model.url, model_version="1")
        with stages(settings, *LIVE, "replayer"):
            images = [event.image_id for event in logged(settings, 5)]
            wait_until(lambda: versions(settings) == ["1"] * 5)
            replay, _ = request(settings, *TWO, by="anna")
            wait_until(lambda: is_in(settings, replay, "finished"))
            without = circles(settings, "promote", "circles:2", "--require", "f1@.5 >= .9")
            assert (without.returncode, "no image with ground truth" in without.stderr) == (1, True)

            truth = some_circles(1)
            truth["x"] = truth["y"] = 2
            truth["x_min"], truth["y_min"], truth["x_max"], truth["y_max"] = 1, 1, 3, 3
            annotations = [
                annotated(annotation_id=uuids.uuid7(), image_id=image_id, circles=truth)
                for image_id in images
            ]
            produce(settings, ANNOTATED, *annotations)
            wait_until(lambda: query(settings, "SELECT count(*) FROM lake.annotations") == [(5,)])
            better = "f1@.5 better than current"
            refused = circles(
                settings, "promote", "circles:2", "--require", "f1@.5 >= .9", "--require", better
            )
            assert refused.returncode == 1
            assert refused.stderr.splitlines()[0] == "circles:2 is not promoted"
            assert f"{better}: 1.000, +0.000 to the current one's" in refused.stderr
            assert "f1@.5 >= .9" not in refused.stderr
            assert circles(settings, "promote", "circles:2", "--require", "f1@.4 >= 1").returncode == 1
            with lake.connect(settings, read_only=True) as view:
                assert promotions.history(view) == []

            asked = {"model": "circles:2", "require": ["f1@.5 >= .9", better]}
            answer = httpx.post(f"{settings.api_url}/promotions", json=asked, timeout=120)
            assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
            problem = answer.json()
            assert problem["detail"].startswith(
                "circles:2 is not promoted: f1@.5 better than current: 1.000, +0.000"
            )
            assert [(each["requirement"], each["is_met"]) for each in problem["required"]] == [
                ("f1@.5 >= .9", True), (better, False)
            ]  # fmt: skip
            for wrong in ("f1@.5 == 1", "f1@.4 >= 1"):
                asked = {"model": "circles:2", "require": [wrong]}
                answer = httpx.post(f"{settings.api_url}/promotions", json=asked, timeout=120)
                assert (answer.status_code, wrong[:5] in answer.json()["detail"]) == (422, True)
            with httpx.Client(base_url=settings.api_url, timeout=120) as api:
                both = {"a": "circles:1", "b": "circles:2", "moved_px": "0"}
                compared = api.get("/comparisons", params=both).json()
                page = api.get("/comparisons", params=both, headers={"Accept": "text/html"}).text
                unchanged = api.get("/comparisons/images", params={**both, "change": "unchanged"}).json()
            assert (compared["counts"]["unchanged"], compared["truth"]["annotated"]) == (5, 5)
            said = circles(settings, "compare", "circles:1", "circles:2", "--moved-px", "0", "--json")
            assert json.loads(said.stdout) == compared
            assert (
                "circles:2 finds as many circles as circles:1, 5, in 5 images; 5 images are the same" in page
            )
            assert {image["image_id"] for image in unchanged["images"]} == set(map(str, images))
            with lake.connect(settings, read_only=True) as view:
                assert promotions.history(view) == []

            required = ("f1@.5 >= .9", "f1@.5 not worse than current")
            words = [word for each in required for word in ("--require", each)]
            done = circles(settings, "promote", "circles:2", *words)
            assert done.returncode == 0, done
            assert circles(settings, "promote", "--back").returncode == 0
            asked = {"model": "circles:2", "require": list(required)}
            answer = httpx.post(f"{settings.api_url}/promotions", json=asked, timeout=120)
            assert (answer.status_code, answer.json()["previous"]) == (201, "circles:1")
            told = httpx.get(f"{settings.api_url}/promotions", timeout=60).json()["promotions"][0]["evidence"]
            with lake.connect(settings, read_only=True) as view:
                by_http, _, by_command = promotions.history(view)
    assert told == json.loads(by_http.evidence)
    for made in (by_http, by_command):
        evidence = json.loads(made.evidence)
        assert (evidence["images"], evidence["detected"]) == (5, 5)
        assert tuple(evidence["required"]) == required


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/replays", {"model": "circles"}, 422, "model: "),
        ("/replays", {"model": "../v2/x:1"}, 422, "model: "),
        ("/replays", {"model": "circles:2", "sample": 0}, 422, "sample: "),
        ("/replays", {"model": "circles:2", "since": 5}, 422, "since: "),
        ("/replays", {"model": "circles:2", "all": True}, 422, "all: "),
        ("/replays", {"model": "circles:2"}, 409, "MODE is dummy"),
        ("/replays", [], 422, "send a JSON object"),
        ("/replays", {"model": "circles:2", "sample": True}, 422, "sample: is a number"),
        ("/replays", {"model": "circles:2", "share": "0.5"}, 422, "share: is a number"),
        ("/replays/nothing/pause", {}, 404, "no replay nothing"),
        ("/replays/01939f3e-8a00-7c3f-9d52-6f1c0e8a4b21/resume", {}, 404, "no replay 01939f3e"),
        ("/promotions", {}, 422, "model: Field required"),
        ("/promotions", {"back": True, "require": ["f1@.5 >= 1"]}, 422, "require: Extra inputs"),
        ("/promotions", {"model": "circles:2", "require": ["f1"]}, 422, "is none of: f1@.5 >= .95"),
        ("/promotions", {"model": "circles:2", "require": ["f1@.5 > 0"]}, 409, "there are no detections yet"),
        ("/promotions", {"model": "circles:2", "back": True}, 422, "model: Extra inputs"),
        ("/promotions", {"back": True}, 409, "nothing was promoted yet"),
        ("/promotions", {"model": "circles:2"}, 409, "there are no detections yet"),
    ],
)
def test_what_cannot_be_is_said(
    refusing: httpx.Client, path: str, body: object, status: int, said: str
) -> None:
    answer = refusing.post(path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]


@pytest.fixture(scope="module")
def refusing(fresh: Fresh) -> Iterator[httpx.Client]:
    settings = fresh(mode="dummy")
    with stages(settings, "api"), httpx.Client(base_url=settings.api_url, timeout=60) as api:
        wait_until(lambda: api.get("/replays").status_code == 200)
        yield api
