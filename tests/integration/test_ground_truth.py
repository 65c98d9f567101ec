"""People say over the API which circles are in an image, and read it back: real stages, two projects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.kafka import running_kafka
from query_api import schemas
from streams import topics
from streams.reevaluation import ImageAnnotated
from streams.settings import Settings
from streams.topics import ANNOTATED
from tests.integration.access import client, key
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, read_all, stages, wait_until

CIRCLES = [{"x": 30, "y": 20.5, "radius": 12.25}, {"x": -2, "y": 10, "radius": 5}]
ANNA = {"annotator": "anna", "from": "dummy:1", "circles": CIRCLES}


@pytest.fixture(scope="module")
def settings(fresh: Fresh) -> Iterator[Settings]:
    settings = fresh(mode="dummy", auth="on", detection_wait_s=30)
    with stages(settings):
        yield settings


@pytest.fixture(scope="module")
def mine(settings: Settings) -> Iterator[httpx.Client]:
    with client(settings, key(settings, "mine")) as api:
        yield api


def upload(api: httpx.Client, seed: int) -> str:
    answer = api.post("/images/", files={"file": ("a", picture(seed))})
    assert answer.status_code == 201
    return f"/images/{answer.json()['image_id']}/annotations"


def put(api: httpx.Client, place: str, body: dict[str, Any]) -> dict[str, str]:
    """Annotate; what a read needs to see it."""
    answer = api.put(place, json=body)
    assert answer.status_code == 201, answer.text
    said = schemas.Recorded.model_validate_json(answer.content)
    assert (str(said.image_id) in place, said.count) == (
        True,
        len(body.get("circles") or body.get("boxes", ())),
    )
    return {"after": answer.headers["circles-position"]}


def shapes(annotation: dict[str, Any]) -> list[tuple[float, ...]]:
    return [(*circle["centroid"], circle["radius"]) for circle in annotation["circles"]]


def test_an_annotation_is_read_by_who_waits_for_it_and_takes_the_place_of_the_one_before(
    mine: httpx.Client,
) -> None:
    place = upload(mine, 1)
    assert mine.get(place).json()["annotation"] is None
    assert mine.get(place, params={"versions": "all"}).json()["versions"] == []

    first = mine.get(place, params=put(mine, place, ANNA)).json()
    schemas.Annotations.model_validate(first)
    assert shapes(first["annotation"]) == [(30, 20.5, 12.25), (-2, 10, 5)]
    assert first["annotation"]["circles"][1]["bbox"] == [-7, 5, 3, 15]
    facts = {name: first["annotation"][name] for name in ("annotator", "from", "drawn_as", "count")}
    assert facts == {"annotator": "anna", "from": "dummy:1", "drawn_as": "circles", "count": 2}

    put(mine, place, {"annotator": "bob", "boxes": [[10, 10, 30, 40]]})
    after = put(mine, place, {"annotator": "carol", "from": None, "boxes": []})
    answer = mine.get(place, params={**after, "versions": "all"}).json()
    schemas.Annotations.model_validate(answer)
    assert [each["annotator"] for each in answer["versions"]] == ["carol", "bob", "anna"]
    assert answer["annotation"] == answer["versions"][0]
    assert answer["versions"][2] == first["annotation"]
    assert (answer["annotation"]["from"], answer["annotation"]["circles"]) == (None, [])
    assert (answer["versions"][1]["drawn_as"], shapes(answer["versions"][1])) == ("boxes", [(20, 25, 12.5)])
    assert mine.get(place).json() == {name: answer[name] for name in ("image_id", "annotation")}


def test_as_many_versions_are_listed_as_an_answer_may_have(mine: httpx.Client) -> None:
    place = upload(mine, 20)
    many = {"annotator": "anna", "circles": [{"x": 1, "y": 1, "radius": 1 + n / 100} for n in range(5_000)]}
    for _ in range(5):
        after = put(mine, place, many)
    found = mine.get(place, params={**after, "versions": "all"}).raise_for_status().json()["versions"]
    assert [len(version["circles"]) for version in found] == [5_000] * 4
    assert mine.put(place, json={**many, "circles": [CIRCLES[0]] * 5_001}).status_code == 422
    for n in range(101):
        after = put(mine, place, {"annotator": f"{n}", "circles": []})
    found = mine.get(place, params={**after, "versions": "all"}).raise_for_status().json()["versions"]
    assert [version["annotator"] for version in found] == [f"{n}" for n in range(100, 0, -1)]


def test_an_annotation_is_read_as_it_was(settings: Settings) -> None:
    with client(settings, key(settings, None, "ingest", "read")) as every:
        place = upload(every, 2)
        before = every.get(place)
        after = put(every, place, ANNA)
        assert after["after"].startswith("annotations.")
        now = every.get(place, params=after)
        assert now.json()["annotation"]
        then = {"as_of": before.headers["circles-snapshot"]}
        past = every.get(place, params=then)
        assert past.json() == before.json()
        assert (past.headers["circles-snapshot"], "circles-age" in past.headers) == (then["as_of"], False)
        pages = every.get("/images", params=then | {"limit": 1}).json()
        assert (pages["snapshot"], pages["watermark"], pages["age_s"]) == (then["as_of"], None, None)
        wait_until(lambda: every.get(place).headers["circles-snapshot"] != then["as_of"])
        later = every.get(place).headers["circles-snapshot"]
        assert every.get(place, params={"as_of": later}).json() == now.json()
        known = every.get(place, headers={"If-None-Match": now.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")


def test_an_image_is_annotated_as_soon_as_it_is_uploaded(mine: httpx.Client) -> None:
    for seed in range(30, 40):
        answer = mine.post(
            "/images/", files={"file": ("a", picture(seed))}, headers={"Prefer": "respond-async"}
        )
        place = f"{answer.headers['location']}/annotations"
        annotated = mine.put(place, params={"after": answer.headers["circles-position"]}, json=ANNA)
        assert annotated.status_code == 201, annotated.text
        after = {"after": annotated.headers["circles-position"]}
        assert mine.get(place, params=after).json()["annotation"]["annotator"] == "anna"


def test_a_position_that_does_not_come_is_504_with_the_lag(settings: Settings) -> None:
    with client(settings, key(settings, None, "ingest", "read")) as every:
        after = put(every, place := upload(every, 3), ANNA)["after"]
        partition, offset = after.removeprefix("annotations.").split("-")
        far = f"annotations.{partition}-{int(offset) + 7}"
        answer = every.get(place, params={"after": far}, timeout=60)
        assert (answer.status_code, answer.json()["lag"]) == (504, 7)
        assert f"has not come to {far} in 5 s: 7 more messages of annotations.recorded" in answer.text


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b" " * 1_000_001, 413, "larger than 1000000 bytes"),
        (b"[]", 422, "body: Input should be a valid dictionary"),
        (b'{"circles": []}', 422, "annotator: Field required"),
        (b'{"annotator": "", "circles": []}', 422, "annotator: has to be text on one line"),
        (b'{"annotator": "a\\nb", "circles": []}', 422, "annotator: has to be text on one line"),
        (b'{"annotator": "a"}', 422, "body: has to have circles or boxes, one of the two"),
        (b'{"annotator": "a", "circles": [], "boxes": []}', 422, "body: has to have circles or boxes"),
        (b'{"annotator": "a", "circles": [], "from": "circles"}', 422, "from: has to be a model with its"),
        (b'{"annotator": "a", "circles": [], "frm": "a:1"}', 422, "frm: Extra inputs are not permitted"),
        (
            b'{"annotator": "a", "circles": [{"x": 1, "y": 1, "radius": 1}, {"x": "1","y":1,"radius":0}]}',
            422, "circles[1].x: Input should be a valid number; circles[1].radius: Input should be greater",
        ),
        (b'{"annotator": "a", "boxes": [[1, 1, 2]]}', 422, "boxes[0]: List should have at least 4 items"),
        (b'{"annotator": "a", "boxes": [[1, 1, 2, 2], [2, 1, 1, 2]]}', 422, "boxes[1]: a box is x_min"),
        (
            b'{"annotator": "a", "circles": [{"x": 90, "y": 1, "radius": 1}]}',
            422, "circles[0]: nothing of it is in the picture, which is 64 x 48 pixels",
        ),
    ],
)  # fmt: skip
def test_what_is_no_annotation_is_refused_by_the_name_of_its_entry(
    mine: httpx.Client, refused: str, body: bytes, status: int, said: str
) -> None:
    answer = mine.put(refused, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]
    assert mine.get(refused).json()["annotation"] is None


@pytest.fixture(scope="module")
def refused(mine: httpx.Client) -> str:
    """An image that nothing is said of."""
    return upload(mine, 4)


def test_what_is_anothers_is_annotated_as_little_as_what_is_not_there(
    settings: Settings, mine: httpx.Client
) -> None:
    with client(settings, key(settings, "theirs")) as theirs, client(settings, key(settings, None)) as every:
        foreign = upload(theirs, 5)
        absent = foreign.replace(foreign.split("/")[2][-12:], uuid4().hex[:12])
        count = len(read_all(settings, ANNOTATED))
        for body in (
            ANNA,
            {"annotator": "a", "circles": []},
            {"annotator": "a", "boxes": [[900, 0, 901, 1]]},
        ):
            answers = [mine.put(place, json=body) for place in (foreign, absent)]
            assert [answer.status_code for answer in answers] == [404, 404]
            texts = [
                a.text.replace(p.split("/")[2], "") for a, p in zip(answers, (foreign, absent), strict=True)
            ]
            assert texts[0] == texts[1]
        assert len(read_all(settings, ANNOTATED)) == count
        assert mine.get(foreign).status_code == mine.get(absent).status_code == 404
        # Who has all projects annotates in the image's own.
        assert theirs.get(foreign, params=put(every, foreign, ANNA)).status_code == 400  # not sealed for them
        (record,) = (r for r in read_all(settings, ANNOTATED) if str(r.image_id) in foreign)  # type: ignore[union-attr]
        assert isinstance(record, ImageAnnotated) and record.project_id == "theirs"
        wait_until(lambda: theirs.get(foreign).json()["annotation"])


def test_who_may_only_read_annotates_nothing(settings: Settings, mine: httpx.Client) -> None:
    place = upload(mine, 6)
    with client(settings, key(settings, "mine", "read")) as reader:
        answer = reader.put(place, json=ANNA)
    assert (answer.status_code, answer.json()["detail"]) == (403, "this needs the right ingest")
    assert mine.get(place).json()["annotation"] is None


def test_while_the_broker_is_away_nothing_is_said_to_be_recorded(fresh: Fresh, tmp_path: Path) -> None:
    with ExitStack() as broker:
        bootstrap = broker.enter_context(running_kafka(tmp_path))
        settings = fresh(mode="dummy", detection_wait_s=30, kafka_bootstrap_servers=bootstrap)
        topics.create(settings)
        with stages(settings), client(settings) as api:
            place = upload(api, 7)
            broker.pop_all().close()
            answer = api.put(place, json=ANNA)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert "Kafka does not acknowledge" in answer.json()["detail"]
            assert api.get(place).json()["annotation"] is None
