"""A switch of views under running stages: who reads, uploads or folds goes on."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from streams import generations, lake
from streams.errors import GenerationInUse
from streams.ledger import begin
from streams.rebuild import building
from streams.settings import Settings
from streams.topics import UPLOADED
from tests.integration.conftest import Fresh
from tests.integration.flow import ledger, picture, query, stages, wait_until
from tests.integration.test_rebuild import COUNTS, folded, level, put_images, silent, states

__all__ = ["folded"]  # a fixture


def test_what_was_folded_since_it_was_level_is_in_the_view_that_goes_live(
    folded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with building(folded) as view:
        level(view)
        put_images(folded, 20, copies=0)
        with stages(folded, "materializer"):
            wait_until(lambda: query(folded, COUNTS) == [(120, 360)])
        monkeypatch.setattr(view, "follow", lambda _: None)
        view.switch(silent)
        assert states(folded) == {"lake_1": "retired", "lake_2": "live"}
        assert query(folded, COUNTS) == [(120, 360)]


def test_a_commit_to_the_live_view_waits_for_the_switch_and_is_refused(settings: Settings) -> None:
    at = (UPLOADED.name, 0)
    with lake.catalog(settings) as catalog, ledger(settings) as live, ThreadPoolExecutor(1) as thread:
        live.add({at: 0})
        epoch, fresh = live.standing().epoch, begin(catalog, "building")
        with lake.connect(settings, read_only=False) as view, catalog.transaction():
            generations.hold_live(catalog, "lake_1")
            commit = thread.submit(live.advance, view, epoch, {at: 0}, {at: 1}, files=None)
            with pytest.raises(TimeoutError):
                commit.result(1)
            generations.switch(catalog, "lake_1", fresh)
        with pytest.raises(psycopg.errors.RaiseException, match="lake_1 is no longer written"):
            commit.result(10)
        assert live.stored() == {at: 0}


def test_a_commit_that_does_not_end_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '0.1s'")
    with lake.catalog(settings) as catalog, lake.catalog(settings) as other, ledger(settings):
        with other.transaction():
            other.execute("SELECT FROM circles.generations FOR SHARE")  # as a commit does
            with (
                pytest.raises(GenerationInUse, match="a commit to lake_1 has not ended"),
                catalog.transaction(),
            ):
                generations.hold_live(catalog, "lake_1")
        with pytest.raises(GenerationInUse, match="lake_7 is no longer"), catalog.transaction():
            generations.hold_live(catalog, "lake_7")


def test_who_reads_and_uploads_does_not_notice(fresh: Fresh) -> None:
    """An image that was seen once is seen ever after; a look comes every few milliseconds."""
    settings = fresh(mode="dummy", detection_wait_s=30)
    stop = threading.Event()
    with stages(settings), httpx.Client(base_url=settings.api_url, timeout=60) as api:

        def upload(seed: int) -> str:
            answer = api.post("/images/", files={"file": ("a", picture(seed))})
            assert (answer.status_code, answer.json()["detection"]["count"]) == (201, 1), answer.text
            return str(answer.json()["image_id"])

        def keep_uploading() -> list[str]:
            sent: list[str] = []
            while not stop.is_set():
                sent.append(upload(100 + len(sent)))
            return sent

        def keep_reading() -> int:
            """Every image of the first ones, and the first page, again and again."""
            looks, known = 0, set[str]()
            while not stop.is_set():
                answer = api.get(f"/images/{first[looks % len(first)]}/objects")
                assert (answer.status_code, answer.json()["count"]) == (200, 1), answer.text
                page = api.get("/images", params={"limit": 100})
                assert page.status_code == 200, page.text
                now = {image["image_id"] for image in page.json()["images"]}
                assert len(now) == 100 or now >= known
                known, looks = now, looks + 1
            return looks

        first = [upload(seed) for seed in range(5)]
        with ThreadPoolExecutor() as threads:
            uploading, reading = threads.submit(keep_uploading), threads.submit(keep_reading)
            try:
                for _ in range(2):
                    with building(settings) as view:
                        assert all(each.difference is None for each in level(view))
                        view.switch(silent)
                    threading.Event().wait(2)  # past the API's look for the live view
                    generations.drop(settings, view.live)
            finally:
                stop.set()
            sent, looks = uploading.result(), reading.result()
        assert looks > 20 and len(sent) > 5
        for image_id in [*first, *sent]:
            assert api.get(f"/images/{image_id}/objects").json()["count"] == 1
    assert query(settings, "SELECT count(*) FROM lake.images") == [(len(first) + len(sent),)]
    assert states(settings) == {"lake_3": "live"}


def test_an_upload_that_waits_while_the_views_are_switched_gets_its_circles(fresh: Fresh) -> None:
    """Nobody else reads: it has to find out by itself that another view went live."""
    settings = fresh(mode="dummy", detection_wait_s=40)
    with stages(settings) as supervisor, httpx.Client(base_url=settings.api_url, timeout=60) as api:

        def upload(seed: int) -> httpx.Response:
            return api.post("/images/", files={"file": ("a", picture(seed))})

        assert upload(1).status_code == 201
        materializer = supervisor.pids()["materializer"]
        os.kill(materializer, signal.SIGSTOP)
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(upload, 2)
            try:
                with building(settings) as view:
                    view.switch(silent)
            finally:
                os.kill(materializer, signal.SIGCONT)
            assert (waiting.result().status_code, waiting.result().json()["detection"]["count"]) == (201, 1)
    assert states(settings) == {"lake_1": "retired", "lake_2": "live"}
