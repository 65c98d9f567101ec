"""`?model=`: what is served, a version's, or every version's detections, with and without a window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from starlette.middleware.base import RequestResponseEndpoint

from query_api import batch, errors, images, listing, statistics
from query_api.access.caller import OPERATOR, Caller
from query_api.lookup import Lookup
from query_api.sorting import Cursors
from streams import lake
from streams.circles import object_ids
from streams.ingest.claims import Claims
from streams.records import CirclesDetected, Record
from streams.settings import Settings
from tests.examples import MOMENT, circles, detected, promoted, uploaded
from tests.lakes import fresh
from tests.query_api.view.windows import loaded, over
from tests.streams.small_view import put

BOTH, ONE, SHADOWED, WAITING = (UUID(int=n << 64) for n in range(1, 5))
"""Seen by both versions; by 1 alone; by 2 alone, in a replay; by none."""
OTHERS = UUID(int=9 << 64)
CERTAIN = "2+min_score=0.7"


def found(image_id: UUID, version: str, count: int, **more: Any) -> CirclesDetected:
    its = circles(count)
    its["object_id"] = np.array([i.bytes for i in object_ids(image_id, "circles", version, count)], "V16")
    its["score"] = [0.5 + number / 100 for number in range(count)]
    return detected(image_id=image_id, model_version=version, circles=its, **more)


def log() -> list[Record]:
    replay_id = UUID(int=77)
    return [
        *(uploaded(image_id=image_id, project_id="p") for image_id in (BOTH, ONE, SHADOWED, WAITING)),
        uploaded(image_id=OTHERS, project_id="q"),
        found(BOTH, "1", 3, project_id="p"),
        found(ONE, "1", 1, project_id="p"),
        found(OTHERS, "1", 4, project_id="q"),
        found(BOTH, "2", 2, project_id="p", replay_id=replay_id),
        found(SHADOWED, "2", 2, project_id="p", replay_id=replay_id),
        found(BOTH, CERTAIN, 0, project_id="p", replay_id=replay_id),
    ]


class NoClaims(Claims):
    """Of images that are not in the view nobody has heard."""

    def __init__(self) -> None: ...

    async def accepted(self, image_id: UUID, project_id: str | None = None) -> bool:  # noqa: ARG002
        return False


@pytest.fixture(scope="module")
def settings(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = fresh(postgres, tmp_path_factory.mktemp("view"))
    with lake.connect(settings, read_only=False) as writer:
        put(settings, writer, log(), 0)
    return settings


@pytest.fixture(scope="module", params=[None, 100], ids=["lake", "window"])
def api(settings: Settings, request: pytest.FixtureRequest) -> Iterator[TestClient]:
    with TestClient(made(settings, request.param)) as client:
        yield client


def made(settings: Settings, window: int | None) -> FastAPI:
    view = over(settings, loaded(settings, window) if window else None)

    async def now() -> None: ...

    app = FastAPI()
    errors.install(app)
    app.include_router(images.routes(Lookup(NoClaims(), view), view, now))
    app.include_router(listing.routes(view, Cursors(b"key"), now))
    app.include_router(batch.routes(settings, view, now))
    app.include_router(statistics.routes(view, now))

    @app.middleware("http")
    async def known(request: Request, answer: RequestResponseEndpoint) -> Response:
        request.scope["state"]["caller"] = Caller("anna", OPERATOR.rights, request.headers.get("project"))
        return await answer(request)

    return app


def objects(api: TestClient, image_id: UUID, model: str | None = None, **headers: str) -> Any:
    params = {} if model is None else {"model": model}
    answer = api.get(f"/images/{image_id}/objects", params=params, headers=headers)
    return answer.json() if answer.status_code == 200 else answer.status_code


def seen(answer: Any) -> list[tuple[str, int]]:
    return [(each["model_version"], each["count"]) for each in answer["detections"]]


def test_without_it_the_contract_holds_to_the_letter(api: TestClient) -> None:
    answer = objects(api, BOTH)
    assert answer.keys() == {"image_id", "count", "objects"}
    assert answer["count"] == 3
    assert {frozenset(each) for each in answer["objects"]} == {frozenset({"object_id", "bbox"})}
    assert objects(api, BOTH, "current") == answer


def test_an_images_objects_of_a_version_and_of_all(api: TestClient) -> None:
    two = objects(api, BOTH, "circles:2")
    assert (two["count"], seen(two)) == (2, [("2", 2)])
    assert {each["model_version"] for each in two["objects"]} == {"2"}
    none = objects(api, BOTH, f"circles:{CERTAIN}")
    assert (none["count"], seen(none), none["objects"]) == (0, [(CERTAIN, 0)], [])
    every = objects(api, BOTH, "all")
    assert (every["count"], seen(every)) == (5, [("1", 3), ("2", 2), (CERTAIN, 0)])
    assert [each["model_version"] for each in every["objects"]] == ["1"] * 3 + ["2"] * 2
    assert seen(objects(api, SHADOWED, "all")) == [("2", 2)]
    assert objects(api, SHADOWED)["count"] == 0  # not served before its version is promoted
    assert objects(api, WAITING, "all") == {
        "image_id": str(WAITING), "count": 0, "objects": [], "detections": [],
    }  # fmt: skip


def test_another_spelling_and_a_plus_that_was_not_quoted_are_the_same_version(api: TestClient) -> None:
    answer = api.get(f"/images/{BOTH}/objects?model=circles:2+min_score=.70").json()
    assert seen(answer) == [(CERTAIN, 0)]


def test_a_version_that_has_not_looked_is_404_and_not_without_circles(api: TestClient) -> None:
    answer = api.get(f"/images/{ONE}/objects", params={"model": "circles:2"})
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"circles:2 has not looked at image {ONE}: see ?model=all"
    assert objects(api, UUID(int=5), "all") == objects(api, UUID(int=5), "circles:2") == 404
    assert api.get("/images/nonsense/objects", params={"model": "all"}).status_code == 404
    wrong = api.get(f"/images/{ONE}/objects", params={"model": "circles:2+score=1"})
    assert (wrong.status_code, "there is no parameter 'score'" in wrong.json()["detail"]) == (422, True)


def test_one_image_of_a_version_and_of_all(api: TestClient) -> None:
    def image(image_id: UUID, **params: str) -> Any:
        return api.get(f"/images/{image_id}", params=params).json()

    served = image(BOTH)
    assert (served["detection"]["model_version"], len(served["objects"])) == ("1", 3)
    assert "detections" not in served
    two = image(BOTH, model="circles:2")
    assert (two["status"], two["detection"]["model_version"]) == ("detected", "2")
    assert {each["model_version"] for each in two["objects"]} == {"2"}
    assert two["sha256"] == served["sha256"]
    every = image(BOTH, model="all")
    assert seen(every) == [("1", 3), ("2", 2), (CERTAIN, 0)]
    assert len(every["objects"]) == 5
    assert image(SHADOWED)["status"] == "pending"  # not served before its version is promoted
    assert image(SHADOWED, model="circles:2")["status"] == "detected"
    assert image(ONE, model="circles:2")["detail"].startswith("circles:2 has not looked at image")
    assert (image(WAITING, model="all")["status"], image(WAITING, model="all")["detections"]) == (
        "pending", [],
    )  # fmt: skip
    assert api.get(f"/images/{BOTH}", params={"model": "circles:2+score=1"}).status_code == 422


def test_one_object_that_is_not_served_is_found_by_whom_it_is_of(api: TestClient) -> None:
    first = objects(api, BOTH, "circles:2")["objects"][0]
    place = f"/images/{BOTH}/objects/{first['object_id']}"
    assert api.get(place).status_code == 404
    for model in ("circles:2", "all"):
        answer = api.get(place, params={"model": model})
        assert (answer.status_code, answer.json()["bbox"]) == (200, first["bbox"])
    assert api.get(place, params={"model": "circles:1"}).status_code == 404
    assert api.get(f"/images/{BOTH}/objects/nonsense", params={"model": "all"}).status_code == 404


def test_other_projects_have_nothing_of_an_image(api: TestClient) -> None:
    assert objects(api, OTHERS, "all", project="p") == objects(api, OTHERS, "circles:1", project="p") == 404
    assert seen(objects(api, OTHERS, "all", project="q")) == [("1", 4)]
    listed = api.get("/objects", params={"model": "all"}, headers={"project": "q"}).json()
    assert {each["image_id"] for each in listed["objects"]} == {str(OTHERS)}


def test_lists_of_objects_and_images(api: TestClient) -> None:
    def versions(model: str) -> list[str]:
        rows = api.get("/objects", params={"model": model}, headers={"project": "p"}).json()["objects"]
        return sorted(row["model_version"] for row in rows)

    assert versions("current") == ["1"] * 4
    assert versions("circles:2") == ["2"] * 4
    assert versions("all") == ["1"] * 4 + ["2"] * 4
    assert versions("circles:7") == []

    params = {"model": "circles:2", "include": "objects"}
    page = api.get("/images", params=params, headers={"project": "p"}).json()["images"]
    assert {each["image_id"] for each in page} == {str(BOTH), str(SHADOWED)}
    assert {o["model_version"] for each in page for o in each["objects"]} == {"2"}
    page = api.get("/images", params={"model": "all"}, headers={"project": "p"}).json()["images"]
    assert {each["image_id"]: seen(each) for each in page} == {
        str(BOTH): [("1", 3), ("2", 2), (CERTAIN, 0)],
        str(ONE): [("1", 1)],
        str(SHADOWED): [("2", 2)],
        str(WAITING): [],
    }
    table = api.get("/images", params={"model": "all"}, headers={"Accept": "text/csv"})
    assert table.status_code == 406


def test_pages_of_all_versions_have_each_circle_once(api: TestClient) -> None:
    whole = api.get("/objects", params={"model": "all"}).json()["objects"]
    cursor, walked = "", []
    while cursor is not None:
        page = api.get("/objects", params={"model": "all", "limit": 3, "cursor": cursor}).json()
        walked += page["objects"]
        cursor = page["next"]
    assert walked == whole
    assert len({each["object_id"] for each in whole}) == len(whole) == 12


def test_many_images_at_once(api: TestClient) -> None:
    ids = [str(image_id) for image_id in (WAITING, ONE, BOTH, UUID(int=5))]
    every = api.post("/images/objects", params={"model": "all"}, json={"image_ids": ids}).json()
    assert [(each["status"], seen(each)) for each in every["images"]] == [
        ("pending", []), ("detected", [("1", 1)]), ("detected", [("1", 3), ("2", 2), (CERTAIN, 0)]),
    ]  # fmt: skip
    assert every["missing"] == ids[3:]
    two = api.post("/images/objects", params={"model": "circles:2"}, json={"image_ids": ids}).json()
    assert [(each["status"], each["count"]) for each in two["images"]] == [
        ("pending", 0), ("pending", 0), ("detected", 2),
    ]  # fmt: skip
    now = api.post("/images/objects", json={"image_ids": ids}).json()
    assert [each.keys() for each in now["images"]] == [{"image_id", "status", "count", "objects"}] * 3


def test_statistics_count_each_version_on_its_own(api: TestClient) -> None:
    refused = api.get("/statistics/images", params={"model": "all"})
    assert (refused.status_code, "say by=model" in refused.json()["detail"]) == (422, True)
    rows = api.get("/statistics/images", params={"model": "all", "by": "model"}).json()["rows"]
    counted = {row["model_version"]: (row["detected"], row["circles"]) for row in rows}
    assert counted == {"1": (3, 8), "2": (2, 4), CERTAIN: (1, 0), None: (0, 0)}
    rows = api.get("/statistics/radius", params={"model": "all", "by": "model"}).json()["rows"]
    assert {(row["model_version"], row["circles"]) for row in rows} == {("1", 8), ("2", 4)}


def test_once_a_version_is_promoted_all_stays_and_the_current_is_it(postgres: str, tmp_path: Any) -> None:
    settings = fresh(postgres, tmp_path)
    with lake.connect(settings, read_only=False) as writer:
        put(settings, writer, [*log(), promoted(model_version="2", promoted_at=MOMENT)], 0)
    with TestClient(made(settings, None)) as api:
        assert objects(api, BOTH)["count"] == 2
        assert seen(objects(api, BOTH, "circles:1")) == [("1", 3)]
        assert seen(objects(api, BOTH, "all")) == [("1", 3), ("2", 2), (CERTAIN, 0)]
