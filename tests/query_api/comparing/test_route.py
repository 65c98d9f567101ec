"""`GET /comparisons` on a real view: what `circles compare` says, by a process that does not outlive it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs  # schemathesis brings it
import orjson
import psutil
import pyarrow.csv
import pyarrow.parquet
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from query_api import document, errors
from query_api.access.seal import Seal
from query_api.answers import CSV, JSON, JSONL, PARQUET
from query_api.comparing import route
from query_api.comparing.asked import Change, Listed
from query_api.comparing.asking import Comparisons
from query_api.comparing.work import done
from query_api.moments import afters, moments
from query_api.stopping import Stopping
from query_api.view.reading import View
from query_api.view.waiting import Waiting
from streams import lake
from streams.evaluation import reading, said
from streams.evaluation.compare import compare
from streams.evaluation.images import Rule
from streams.evaluation.version import resolve
from streams.settings import Settings
from streams.topics import UPLOADED
from tests.lakes import fresh
from tests.query_api.children import children
from tests.query_api.leaving import leave
from tests.query_api.sql.world import As
from tests.query_api.test_document import document as described
from tests.streams.evaluation.views import Seen, make, obvious

BOTH: dict[str, Any] = {"a": "circles:1", "b": "circles:2"}
compare_and_leave = partial(leave, method="GET", path="/comparisons", query=urlencode(BOTH).encode())
CHILD = "query_api.comparing.child"


def made(settings: Settings, wait_s: float = 30, kept_s: float = 60) -> FastAPI:
    """The app; its `state.stopping`, `state.view`, `state.waiting` and `state.ahead` are parts of it."""
    view, waiting, stopping = View(settings), Waiting(), Stopping()
    comparisons = Comparisons(settings, stopping, wait_s, kept_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await comparisons.ahead.close()

    app = FastAPI(lifespan=lifespan)
    app.state.stopping, app.state.view = stopping, view
    app.state.waiting, app.state.ahead = waiting, comparisons.ahead
    errors.install(app)
    moment = moments(view, afters(waiting, Seal(), stopping, 0.2))
    app.include_router(route.routes(settings, view, comparisons, moment))
    app.add_middleware(As)
    return app


@pytest.fixture(scope="module")
def world(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Seen]]:
    settings = fresh(postgres, tmp_path_factory.mktemp("compared"))
    return settings, make(settings)[0]


@pytest.fixture(scope="module")
def settings(world: tuple[Settings, list[Seen]]) -> Settings:
    return world[0]


@pytest.fixture(scope="module")
def seen(world: tuple[Settings, list[Seen]]) -> list[Seen]:
    return world[1]


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(made(settings)) as client:
        yield client


def test_it_says_what_the_command_says_byte_for_byte(api: TestClient, settings: Settings) -> None:
    asked = {
        "source": "camera 1", "since": "2026-01-31", "min_iou": "0.6", "iou": "box", "moved_px": "0.5",
        "worst": "3", "min_score_b": "0.5",
    }  # fmt: skip
    answer = api.get("/comparisons", params=BOTH | asked)
    assert answer.status_code == 200, answer.text
    filters = {"source": "camera 1", "since": route.Comparison.model_validate(BOTH | asked).since}
    with lake.connect(settings, read_only=True) as view:
        at = lake.snapshot(view)
        known = reading.known(view, at)
        a, b = resolve("circles:1", known), resolve("circles:2", known, 0.5)
        found = compare(view, at, a, b, Rule(0.6, "box", 0.5), filters, worst=3)
    assert answer.content == orjson.dumps(found, option=orjson.OPT_UTC_Z)
    assert answer.headers["content-type"] == "application/json"


def test_answers_are_as_the_document_says(api: TestClient) -> None:
    whole = described("off")
    for path, more in (("/comparisons", {}), ("/comparisons/images", {"change": "lost"})):
        schema = whole["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = api.get(path, params=BOTH | more).json()
        jsonschema_rs.validate(schema | {"components": whole["components"]}, answer, validate_formats=True)
    assert document.OPERATIONS["/comparisons", "get"].also == ("text/html",)


def test_a_browser_gets_a_page(api: TestClient, seen: list[Seen]) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = api.get("/comparisons", params=BOTH | {"worst": 4}, headers={"Accept": browser})
    assert (answer.status_code, answer.headers["vary"]) == (200, "Accept")
    assert answer.headers["content-type"].startswith("text/html")
    counts = obvious(seen, "1", "2")["groups"]["all"]
    assert f"in {counts['images']} images; {counts['unchanged']} images are the same.</h1>" in answer.text
    assert said.NO_TRUTH[1:] in answer.text
    assert answer.text.count("<article") == answer.text.count("the bytes of this image are gone") == 4


@pytest.mark.parametrize("change", ["changed", "gained", "lost", "moved", "only_moved", "unchanged", None])
def test_each_number_leads_to_its_images(settings: Settings, seen: list[Seen], change: Change | None) -> None:
    listed = Listed(
        settings=settings, project=None, **BOTH, min_iou=0.5, iou="circle", moved_px=1, filters={}, limit=7,
        change=change,
    )  # fmt: skip
    body = orjson.loads(route.listed(done(listed), JSON, {}, {}).body)
    expected = obvious(seen, "1", "2")["images"]

    def number(counts: dict[str, int]) -> int:
        differs = counts["gained"] + counts["lost"]
        match change:
            case "changed":
                return differs + counts["moved"]
            case "only_moved":
                return counts["moved"] if not differs else 0
            case "unchanged":
                return not (differs or counts["moved"])
            case None:
                return 1
        return counts[str(change)]

    right = [each for each in expected if number(each[-1])]
    if change in ("gained", "lost", "moved"):
        right.sort(key=lambda each: (-number(each[-1]), *each[:3]))
    assert (body["total"], body["count"]) == (len(right), min(7, len(right)))
    assert [image["image_id"] for image in body["images"]] == [str(id_) for *_, id_, _ in right[:7]]
    counts = [{n: image[n] for n in ("gained", "lost", "moved", "matched")} for image in body["images"]]
    assert counts == [{n: c[n] for n in ("gained", "lost", "moved", "matched")} for *_, c in right[:7]]


def test_the_images_as_a_table(api: TestClient) -> None:
    params = BOTH | {"change": "moved"}
    whole = api.get("/comparisons/images", params=params).json()["images"]

    def got(kind: str) -> bytes:
        return api.get("/comparisons/images", params=params, headers={"Accept": kind}).content

    assert [orjson.loads(line) for line in got(JSONL).splitlines()] == whole
    parquet = pyarrow.parquet.read_table(BytesIO(got(PARQUET)))
    assert orjson.loads(orjson.dumps(parquet.to_pylist())) == whole
    assert pyarrow.csv.read_csv(BytesIO(got(CSV)))["image_id"].to_pylist() == [r["image_id"] for r in whole]
    assert api.get("/comparisons/images", params=params, headers={"Accept": "image/png"}).status_code == 406


def test_a_caller_of_one_project_sees_its_images_and_versions_alone(
    api: TestClient, seen: list[Seen]
) -> None:
    mine = [image for image in seen if image.upload.project_id == "other"]
    body = api.get("/comparisons", params=BOTH, headers={"Project": "other"}).json()
    counts = obvious(mine, "1", "2")["groups"]["all"]
    assert {name: body["counts"][name] for name in ("images", "gained", "lost", "matched")} == {
        name: counts[name] for name in ("images", "gained", "lost", "matched")
    }
    assert (body["snapshot"], body["filters"]) == (None, {"project": "other"})
    page = api.get("/comparisons", params=BOTH, headers={"Project": "other", "Accept": "text/html"}).text
    assert "snapshot" not in page and "project other" in page
    listed = api.get("/comparisons/images", params=BOTH, headers={"Project": "other"}).json()
    assert {each["image_id"] for each in listed["images"]} <= {str(each.upload.image_id) for each in mine}
    assert listed["total"] == counts["images"]
    refused = api.get("/comparisons", params=BOTH | {"project": "default"}, headers={"Project": "other"})
    assert (refused.status_code, refused.json()["detail"]) == (404, "project: you see other alone")
    nobody = api.get("/comparisons", params=BOTH, headers={"Project": "nobody"})
    assert nobody.status_code == 404
    assert nobody.json()["detail"].endswith(
        "there are no detections of circles:1 in the view, but of none of any model"
    )


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        ({"b": "circles:4"}, 404, "no detections of circles:4 in the view, but of circles:1, circles:2"),
        ({"b": "circles:3"}, 404, "no image in common: circles:1 has looked at"),
        ({"b": "circles:2+min_score=2"}, 422, "min_score is 0 to 1, like min_score=0.7, not '2'"),
        ({"b": "circles:2 min_score=2"}, 422, "min_score is 0 to 1, like min_score=0.7, not '2'"),
        ({"b": "circles"}, 422, "b: 'circles' is no NAME:VERSION, as circles:2 is"),
        ({"since": "now"}, 422, "since: "),
        ({"since": 2026}, 422, "is a time like 2026-01-31T12:00:00Z"),
        ({"min_iou": 0}, 422, "min_iou: Input should be greater than 0"),
        ({"worst": 101}, 422, "worst: Input should be less than or equal to 100"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said(
    api: TestClient, asked: dict[str, Any], status: int, reason: str
) -> None:
    answer = api.get("/comparisons", params=BOTH | asked)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert reason in answer.json()["detail"]


def test_the_images_behind_a_number_are_those_of_its_snapshot(
    postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = fresh(postgres, tmp_path_factory.mktemp("moving"))
    make(settings)
    with TestClient(made(settings)) as api:
        before = api.get("/comparisons", params=BOTH).json()
        with lake.connect(settings, read_only=False) as writer:
            writer.execute("DELETE FROM lake.objects WHERE model_version = '2'")
        now = api.get("/comparisons", params=BOTH).json()
        assert now["counts"]["gained"] == 0 < before["counts"]["gained"]
        then = BOTH | {"as_of": before["snapshot"]}
        assert api.get("/comparisons", params=then).json() == before
        gained = api.get("/comparisons/images", params=then | {"change": "gained"}).json()["images"]
        assert sum(image["gained"] for image in gained) == before["counts"]["gained"]
        page = api.get("/comparisons", params=then, headers={"Accept": "text/html"})
        assert f"snapshot {before['snapshot']}" in page.text
        for as_of, status, reason in (
            ("99999", 410, "snapshot 99999 is not kept any more, or not there yet"),
            ("0", 410, "had not all of its tables yet"),
            ("2000-01-01", 410, "the view as it was then is not kept any more"),
            ("then", 400, "as_of is the snapshot of an answer like"),
        ):
            answer = api.get("/comparisons", params=BOTH | {"as_of": as_of})
            assert (answer.status_code, reason in answer.json()["detail"]) == (status, True), answer.text


def test_it_waits_for_what_was_sent_and_says_what_it_read(api: TestClient, settings: Settings) -> None:
    app: Any = api.app
    generation = lake.live(settings)
    app.state.waiting.came({(UPLOADED.name, 3): 0})
    for path in ("/comparisons", "/comparisons/images"):
        late = api.get(path, params=BOTH | {"after": "3-1207"})
        assert (late.status_code, late.json().get("lag")) == (504, 1208), late.text
        assert api.get(path, params=BOTH | {"after": "soon"}).status_code == 400
    app.state.view.saw(generation, 7, {})
    try:
        answer = api.get("/comparisons/images", params=BOTH)
        assert answer.headers["circles-snapshot"] == answer.json()["snapshot"] == f"{generation}.7"
        assert answer.json()["age_s"] >= 0
        own = api.get("/comparisons", params=BOTH, headers={"Project": "other"})
        assert "circles-snapshot" not in own.headers and "circles-age" in own.headers
    finally:
        app.state.view.seen = None


def test_one_that_takes_too_long_is_ended_with_its_process(settings: Settings) -> None:
    before = children(CHILD)
    with TestClient(made(settings.model_copy(update={"compare_timeout_s": 0.1}))) as api:
        answer = api.get("/comparisons", params=BOTH)
    assert answer.status_code == 504
    assert "0.1 s (COMPARE_TIMEOUT_S)" in answer.json()["detail"]
    assert children(CHILD) <= before


@pytest.mark.parametrize("memory_mb", [220, 256, 290, 310, 330])
def test_one_that_needs_too_much_memory_is_refused(settings: Settings, memory_mb: int) -> None:
    """Wherever it is lacking: as libraries are loaded, as threads begin, as the view is read."""
    with TestClient(made(settings.model_copy(update={"compare_memory_mb": memory_mb}))) as api:
        answer = api.get("/comparisons", params=BOTH)
    assert answer.status_code == 422
    assert f"needs more than {memory_mb} MB (COMPARE_MEMORY_MB)" in answer.json()["detail"]


def test_a_view_that_cannot_be_read_is_503(settings: Settings) -> None:
    with TestClient(made(settings.model_copy(update={"lake_url": "/nowhere"}))) as api:
        answer = api.get("/comparisons", params=BOTH)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_who_goes_away_takes_the_process_along(settings: Settings) -> None:
    async def went() -> list[Any]:
        app = made(settings)
        sent = await compare_and_leave(app, after_s=0.01)
        await app.state.ahead.close()
        return sent

    before = children(CHILD)
    assert asyncio.run(went())[0]["status"] == 400
    assert children(CHILD) <= before


def test_the_next_process_waits_ready_for_a_while(settings: Settings) -> None:
    async def ask_and_wait() -> None:
        app = made(settings, kept_s=0.5)
        await compare_and_leave(app, after_s=600)
        for waits in (True, False):
            while bool(children(CHILD) - before) != waits:  # noqa: ASYNC110 the kernel has no event for it
                await asyncio.sleep(0.02)

    before = children(CHILD)
    asyncio.run(ask_and_wait())


def test_one_that_was_killed_ahead_is_replaced(settings: Settings) -> None:
    before = children(CHILD)
    with TestClient(made(settings)) as api:
        first = api.get("/comparisons", params=BOTH)
        while not (ahead := children(CHILD) - before):
            time.sleep(0.02)
        for process in ahead:
            os.kill(process, signal.SIGKILL)
        while any(map(psutil.pid_exists, ahead)):  # until it is known to have ended
            time.sleep(0.01)
        assert api.get("/comparisons", params=BOTH).content == first.content
    assert children(CHILD) <= before


def test_one_at_a_time_and_an_api_that_stops_ends_it(settings: Settings) -> None:
    async def together() -> list[int]:
        app = made(settings, wait_s=0)
        first = asyncio.create_task(compare_and_leave(app, after_s=600))
        while not children(CHILD) - before:  # noqa: ASYNC110 the kernel has no event for it
            await asyncio.sleep(0.01)
        second = await compare_and_leave(app, after_s=600)
        app.state.stopping.tell()
        statuses = [second[0]["status"], (await first)[0]["status"]]
        assert (b"retry-after", b"5") in second[0]["headers"]
        return statuses

    before = children(CHILD)
    assert asyncio.run(together()) == [503, 503]
    assert children(CHILD) <= before


def test_who_waits_for_a_turn_gets_one(settings: Settings) -> None:
    async def together() -> list[int]:
        app = made(settings)
        both = (compare_and_leave(app, after_s=600) for _ in range(2))
        statuses = [sent[0]["status"] for sent in await asyncio.gather(*both)]
        await app.state.ahead.close()
        return statuses

    assert asyncio.run(together()) == [200, 200]
