"""One project's key never sees, counts or guesses what is another's: by any route of the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest

from query_api.access.rules import RULES
from streams.settings import Settings
from tests.integration.access import client, key
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, stages, wait_until

SOURCE = "camera of the other project"
SILENCE_S = 0.5
"""After which a stream has said what it says at once."""
NOT_READ = {
    ("/images", "post"), ("/images/", "post"), ("/images/objects", "post"), ("/sql", "post"),
    ("/images/{image_id}/annotations", "put"),
    ("/replays", "post"), ("/promotions", "post"),
    *((f"/replays/{{replay_id}}/{change}", "post") for change in ("pause", "resume", "cancel")),
    ("/health", "get"),
    ("/health/live", "get"), ("/health/ready", "get"),
}  # fmt: skip
"""Uploads are in test_access, the batch read in test_pictures, annotating in test_ground_truth, SQL in
tests/query_api/sql, replays and promotions in test_access; health is the same for everyone, but changes by
itself."""
READS = sorted(path for path, methods in RULES.items() if "GET" in methods and methods["GET"].right)
OF_ALL = {path for path in READS if not RULES[path]["GET"].limited}
"""What counts all projects' alike: callers of one project are refused."""

BASE = {
    path: {"a": "dummy:1", "b": "dummy:1+min_score=0.5"} for path in ("/comparisons", "/comparisons/images")
}
"""What a route has to be asked with. Each answer of these costs a process, so with nothing that says nothing
about what others have."""

CHANGING = ("date", "x-request-id", "circles-age")


class Known(NamedTuple):
    """What the other project has, which a caller may have heard of; or what nobody has."""

    image_id: str
    object_id: str
    sha256: str
    cursor: str
    position: str


class World(NamedTuple):
    """Two projects with images, as seen by each one's key."""

    settings: Settings
    mine: httpx.Client
    theirs: httpx.Client
    document: dict[str, Any]


@pytest.fixture(scope="module")
def world(fresh: Fresh) -> Iterator[World]:
    settings = fresh(mode="dummy", auth="on", detection_wait_s=30, after_wait_s=1)
    with (
        stages(settings),
        client(settings, key(settings, "mine")) as mine,
        client(settings, key(settings, "theirs")) as theirs,
    ):
        for seed in range(3):
            upload(mine, seed)
        yield World(settings, mine, theirs, mine.get("/openapi.json").json())


def upload(api: httpx.Client, seed: int, source: str = "") -> httpx.Response:
    answer = api.post("/images/", files={"file": ("a", picture(seed))}, data={"source": source})
    assert answer.status_code == 201
    return answer


@pytest.fixture(scope="module")
def foreign(world: World) -> Known:
    """An image of the other project, with an annotation."""
    answer = upload(world.theirs, 100, SOURCE)
    place = f"{answer.headers['location']}/annotations"
    annotated = world.theirs.put(place, json={"annotator": SOURCE, "circles": []}).raise_for_status()
    after = {"after": annotated.headers["circles-position"]}
    assert world.theirs.get(place, params=after).json()["annotation"]["annotator"] == SOURCE
    with client(world.settings, key(world.settings, None, "read")) as every:
        image = every.get(answer.headers["location"]).json()
        page = every.get("/images", params={"limit": 1}).json()
    return Known(
        image["image_id"], image["objects"][0]["object_id"], image["sha256"], page["next"],
        answer.headers["circles-position"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def absent(foreign: Known) -> Known:
    """The same of an image that nobody has; the id is of the same moment."""
    image_id = str(UUID(foreign.image_id[:-12] + uuid4().hex[:12]))
    return Known(image_id, str(uuid4()), "0" * 64, foreign.cursor, "A" * len(foreign.position))


def requests(document: dict[str, Any], path: str, known: Known) -> Iterator[httpx.Request]:
    """A route's requests that make use of what is known: each parameter alone, and none."""
    values = {
        "image_id": [known.image_id], "object_id": [known.object_id], "cursor": [known.cursor],
        "after": [known.position, "0-0"], "source": [SOURCE], "limit": ["500"], "include": ["objects"],
        "since": ["2000-01-01T00:00:00Z"], "until": ["2100-01-01T00:00:00Z"], "min_circles": ["0", "1"],
        "max_circles": ["9"], "model": ["dummy"], "version": ["1"],
        "status": ["pending", "detected", "failed"], "project": ["theirs"], "fields": ["image_id"],
        "sort": ["newest", "oldest", "largest", "most-circles"], "attributes": ['{"a": "b"}'],
        "as_of": ["2000-01-01T00:00:00Z", "1", "2100-01-01T00:00:00Z"], "box": ["0,0,99,99"],
        "by": ["source", "project", "model"], "bucket": ["hour"], "width": [".5"], "size": ["64"],
        "kind": ["uploaded", "detected", "failed"], "min_radius": ["1"], "max_radius": ["99"],
        "min_score": [".1"], "max_score": ["1"], "versions": ["all"],
    }  # fmt: skip
    of_rule = ("a", "b", "min_score_a", "min_score_b", "min_iou", "iou", "moved_px", "worst", "change")
    few = ("source", "project")
    base = BASE.get(path, {})
    operation = document["paths"][path]["get"]
    asked: list[dict[str, str]] = [base]
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        if parameter["in"] == "query" and not (base and name in of_rule):
            # A parameter that is missing above has to be thought of there.
            asked += [{**base, name: value} for value in values[name] if not base or name in few]
    for parameters, etag in product(asked, ("",) if base else ("", f'"{known.sha256}"')):
        place = path.format(image_id=known.image_id, object_id=known.object_id, replay_id=known.object_id)
        headers = {"If-None-Match": etag} if etag else {}
        yield httpx.Request("GET", place, params=parameters, headers=headers)


def answers(api: httpx.Client, document: dict[str, Any], path: str, known: Known) -> list[tuple[Any, ...]]:
    """Status, headers and body of all of them, but for what was asked and the time of day."""
    found = []
    for request in requests(document, path, known):
        got, text = ask(api, request)
        for name in known:
            text = text.replace(name, "<asked>")
        if path in BASE:  # which says of nothing that it has found by what filters
            text = text.replace(f"(source {SOURCE},", "(<asked>,")
        text = re.sub(r'"age_s":\d+', "", text)  # in whole seconds, which a busy machine makes two
        headers = {name: value for name, value in got.headers.items() if name not in CHANGING}
        found.append((got.status_code, headers, text))
    return found


def ask(api: httpx.Client, request: httpx.Request) -> tuple[httpx.Response, str]:
    """The answer and its text; of a stream what comes at once, but for ids, which are sealed each anew."""
    request = api.build_request("GET", request.url, headers=request.headers, timeout=60)
    got = api.send(request, stream=True)
    if request.url.path == "/changes":
        request.extensions["timeout"]["read"] = SILENCE_S  # of what comes behind the head
    lines: list[str] = []
    with suppress(httpx.ReadTimeout):
        lines += (line for line in got.iter_lines() if not line.startswith("id:"))
    got.close()
    return got, "\n".join(lines)


def test_every_read_of_the_document_is_asked_here(world: World) -> None:
    guarded = {
        (path, method) for path, methods in world.document["paths"].items() for method in methods
    } - NOT_READ
    assert guarded == {(path, "get") for path in READS}


@pytest.mark.parametrize("path", READS)
def test_what_is_anothers_is_answered_as_what_does_not_exist(
    world: World, foreign: Known, absent: Known, path: str
) -> None:
    theirs = answers(world.mine, world.document, path, foreign)
    assert theirs == answers(world.mine, world.document, path, absent)
    assert not any(SOURCE in body for _, _, body in theirs)


@pytest.mark.parametrize("path", READS)
def test_what_others_do_changes_no_answer(world: World, foreign: Known, path: str) -> None:
    if path in OF_ALL:
        assert {status for status, *_ in answers(world.mine, world.document, path, foreign)} == {403}
        return
    with client(world.settings, key(world.settings, None, "read")) as every:
        wait_until(lambda: every.get("/status").json()["pending"] == 0)
        before = answers(world.mine, world.document, path, foreign)
        count = every.get("/status").json()["images"]
        for seed in range(3):
            upload(world.theirs, 1000 + 3 * READS.index(path) + seed, SOURCE)
        wait_until(lambda: every.get("/status").json()["images"] == count + 3)
    assert answers(world.mine, world.document, path, foreign) == before


@pytest.mark.parametrize("path", [path for path in READS if path not in OF_ALL])
def test_each_read_answers_callers_of_one_project(world: World, foreign: Known, path: str) -> None:
    place = path.format(image_id=foreign.image_id, object_id=foreign.object_id)
    with world.theirs.stream("GET", place, params=BASE.get(path)) as mine:
        assert mine.status_code == 200
