"""Pictures of one image, and the circles of many, over real stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from detector.images import inspect
from query_api import schemas
from query_api.access.rules import RULES
from query_api.document import OPERATIONS
from streams.settings import Settings
from tests.integration.access import client, key
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, stages


@pytest.fixture(scope="module")
def settings(fresh: Fresh) -> Iterator[Settings]:
    settings = fresh(mode="dummy", auth="on", detection_wait_s=30)
    with stages(settings):
        yield settings


@pytest.fixture(scope="module")
def mine(settings: Settings) -> Iterator[httpx.Client]:
    with client(settings, key(settings, "mine")) as api:
        yield api


@pytest.fixture(scope="module")
def theirs(settings: Settings) -> Iterator[httpx.Client]:
    with client(settings, key(settings, "theirs")) as api:
        yield api


def upload(api: httpx.Client, data: bytes) -> str:
    answer = api.post("/images/", files={"file": ("a", data)})
    assert answer.status_code == 201
    return str(answer.json()["image_id"])


def test_pictures_come_in_the_size_and_format_that_is_asked_for(mine: httpx.Client) -> None:
    image = f"/images/{upload(mine, picture(1, 'PNG', 640, 480))}"
    for path, accept, found in (
        ("thumbnail", "*/*", ("image/jpeg", 256, 192)),
        ("thumbnail?size=64", "image/webp", ("image/webp", 64, 48)),
        ("thumbnail?size=1024", "image/webp;q=0.5, image/*", ("image/jpeg", 640, 480)),
        ("overlay", "image/jpeg", ("image/jpeg", 640, 480)),
        ("overlay?size=320", "image/webp", ("image/webp", 320, 240)),
    ):
        answer = mine.get(f"{image}/{path}", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, found[0]), answer.text
        assert inspect(answer.content) == found
    assert mine.get(f"{image}/overlay").content != mine.get(f"{image}/thumbnail?size=640").content
    assert mine.get(f"{image}/thumbnail", headers={"Accept": "image/png"}).status_code == 406
    for size in ("31", "1025", "x"):
        assert mine.get(f"{image}/thumbnail?size={size}").status_code == 422


def test_a_client_that_has_a_picture_is_told_so_until_it_is_another(mine: httpx.Client) -> None:
    image = f"/images/{upload(mine, picture(2))}"
    tags = set()
    for path, cached in (
        ("content", "private, max-age=31536000, immutable"),
        ("thumbnail", "private, max-age=31536000, immutable"),
        ("thumbnail?size=32", "private, max-age=31536000, immutable"),
        ("overlay", "no-cache"),
    ):
        answer = mine.get(f"{image}/{path}")
        assert answer.headers["cache-control"] == cached
        assert "X-API-Key" in answer.headers["vary"]
        tag = answer.headers["etag"]
        for given in (tag, f'"x", W/{tag}', "*"):
            again = mine.get(f"{image}/{path}", headers={"If-None-Match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert mine.get(f"{image}/{path}", headers={"If-None-Match": '"x"'}).status_code == 200
        tags.add(tag)
    assert len(tags) == 4


def test_a_picture_that_is_not_there_is_404_and_one_whose_bytes_are_gone_410(
    settings: Settings, mine: httpx.Client, theirs: httpx.Client
) -> None:
    data = picture(3)
    image = f"/images/{upload(mine, data)}"
    for path in ("content", "thumbnail", "overlay"):
        assert theirs.get(f"{image}/{path}").status_code == 404
        assert mine.get(f"/images/{uuid4()}/{path}").status_code == 404
    (stored,) = (each for each in Path(settings.data_dir / "objects").iterdir() if each.read_bytes() == data)
    for change in (lambda: stored.write_bytes(data[:-20] + bytes(20)), stored.unlink):
        change()
        for path in ("content", "thumbnail", "overlay"):
            assert mine.get(f"{image}/{path}").status_code == 410


def test_the_circles_of_many_images_come_at_once_and_what_is_not_there_is_named(
    mine: httpx.Client, theirs: httpx.Client
) -> None:
    ids = [upload(mine, picture(seed)) for seed in range(10, 13)]
    foreign, nobodys = upload(theirs, picture(20)), str(uuid4())
    asked = [ids[2], foreign, ids[0], nobodys, ids[0]]
    answer = mine.post("/images/objects", json={"image_ids": asked}).raise_for_status().json()
    assert [image["image_id"] for image in answer["images"]] == [ids[2], ids[0]]
    assert (answer["count"], answer["missing"]) == (2, [foreign, nobodys])
    for image in answer["images"]:
        one = mine.get(f"/images/{image['image_id']}").json()
        assert (image["status"], image["count"], image["objects"]) == ("detected", 1, one["objects"])
    now = {"as_of": "2100-01-01T00:00:00Z"}  # the newest snapshot there is
    assert mine.post("/images/objects", params=now, json={"image_ids": asked}).json() == answer
    for path in ("", "/objects", "/content", "/thumbnail", "/overlay"):
        of_now, newest = (mine.get(f"/images/{ids[0]}{path}", params=at) for at in (now, {}))
        assert (of_now.status_code, of_now.content) == (200, newest.content)
    before = {"as_of": "2000-01-01T00:00:00Z"}
    assert mine.post("/images/objects", params=before, json={"image_ids": ids}).status_code == 410


def test_answers_are_what_the_document_says(mine: httpx.Client) -> None:
    image_id = upload(mine, picture(40))
    object_id = mine.get(f"/images/{image_id}").json()["objects"][0]["object_id"]
    checked = 0
    for (path, method), operation in OPERATIONS.items():
        place = path.format(image_id=image_id, object_id=object_id, replay_id=image_id)
        if path.startswith("/comparisons"):
            continue  # of two versions, and this view has one: tests/query_api/comparing
        if method == "get" and operation.model and RULES[path]["GET"].limited:
            operation.model.model_validate_json(mine.get(place).raise_for_status().content)
            checked += 1
    assert checked == 11
    listed = mine.get("/images", params={"include": "objects"}).content
    assert schemas.Images.model_validate_json(listed).images[0].objects
    batch = mine.post("/images/objects", json={"image_ids": [image_id, str(uuid4())]}).content
    schemas.Batch.model_validate_json(batch)
    answer = mine.post("/images/", files={"file": ("a", picture(41))})
    schemas.Uploaded.model_validate_json(answer.content)
    schemas.Problem.model_validate_json(mine.get(f"/images/{uuid4()}").content)


def test_the_batch_read_waits_for_what_it_is_asked_to_have(mine: httpx.Client) -> None:
    sent = mine.post("/images/", files={"file": ("a", picture(30))}, headers={"Prefer": "respond-async"})
    asked = {"image_ids": [sent.json()["image_id"]]}
    after = {"after": sent.headers["circles-position"]}
    answer = mine.post("/images/objects", params=after, json=asked).raise_for_status().json()
    assert (answer["count"], answer["missing"]) == (1, [])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b'{"image_ids": []}', 422),
        (b'{"image_ids": ["x"]}', 422),
        (b'{"image_ids": [7]}', 422),
        (b'{"image_ids": ["%s"], "more": 1}' % str(UUID(int=7)).encode(), 422),
        (b'{"image_ids": [%s]}' % b",".join(b'"%s"' % str(UUID(int=n)).encode() for n in range(501)), 422),
        (b" " * 70_000, 413),
    ],
)
def test_a_batch_that_is_none_is_refused(mine: httpx.Client, body: bytes, status: int) -> None:
    assert mine.post("/images/objects", content=body).status_code == status
