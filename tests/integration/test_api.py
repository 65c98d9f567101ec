"""The API over real stages, in dummy mode: contract A+B to the letter, and what it refuses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import orjson
import pytest

from streams.ingest.send import send
from streams.settings import Settings
from streams.standing import as_object, look
from streams.topics import TOPICS
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, read_all, stages, wait_until

Answer = httpx.Response


@pytest.fixture(scope="module")
def api_settings(fresh: Fresh) -> Iterator[Settings]:
    settings = fresh(mode="dummy", detection_wait_s=30, max_upload_size=200_000)
    with stages(settings):
        yield settings


@pytest.fixture(scope="module")
def api(api_settings: Settings) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api_settings.api_url, timeout=60) as client:
        yield client


def upload(api: httpx.Client, data: bytes, **more: str) -> Answer:
    return api.post("/images/", files={"file": ("picture", data)}, data=more)


def test_an_upload_answers_with_its_circles_as_in_the_contract(api: httpx.Client) -> None:
    answer = upload(api, picture(1))
    assert answer.status_code == 201
    body = answer.json()
    (circle,) = body["detection"].pop("detections")
    assert body == {"image_id": body["image_id"], "detection": {"count": 1}}
    assert UUID(circle.pop("object_id"))
    assert circle == {"bbox": [10, 10, 50, 50], "centroid": {"x": 30, "y": 30}, "radius": 20}
    assert answer.headers["location"] == f"/images/{body['image_id']}"


def test_objects_of_an_image_are_listed_and_shown_as_in_the_contract(api: httpx.Client) -> None:
    detection = upload(api, picture(2)).json()
    image_id, object_id = detection["image_id"], detection["detection"]["detections"][0]["object_id"]
    assert api.get(f"/images/{image_id}/objects").json() == {
        "image_id": image_id,
        "count": 1,
        "objects": [{"object_id": object_id, "bbox": [10, 10, 50, 50]}],
    }
    assert api.get(f"/images/{image_id}/objects/{object_id}").json() == {
        "object_id": object_id,
        "bbox": [10, 10, 50, 50],
        "centroid": [30, 30],
        "radius": 20,
    }


def test_what_does_not_exist_is_404_with_problem_details(api: httpx.Client) -> None:
    mine = upload(api, picture(3)).json()["image_id"]
    other = upload(api, picture(4)).json()["detection"]["detections"][0]["object_id"]
    for path in (
        f"/images/{uuid4()}", f"/images/{uuid4()}/objects", "/images/1/objects", f"/images/{uuid4()}/content",
        f"/images/{mine}/objects/{uuid4()}", f"/images/{mine}/objects/1", f"/images/{mine}/objects/{other}",
        "/nowhere",
    ):  # fmt: skip
        answer = api.get(path)
        assert answer.headers["content-type"] == "application/problem+json", path
        problem = answer.json()
        assert {name: problem[name] for name in ("type", "title", "status", "instance")} == {
            "type": "about:blank", "title": "Not Found", "status": 404, "instance": path,
        }  # fmt: skip


def test_an_asynchronous_upload_answers_at_once_and_is_pending_until_detected(api: httpx.Client) -> None:
    answer = api.post("/images/", files={"file": ("a", picture(5))}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.json() == {"image_id": answer.json()["image_id"], "detection": None}
    status = api.get(answer.headers["location"]).json()["status"]
    assert status in ("pending", "detected")


def test_an_upload_waits_as_long_as_it_prefers(api: httpx.Client) -> None:
    def statuses(seed: int, prefer: str) -> tuple[int, bool]:
        answer = api.post("/images/", files={"file": ("a", picture(seed))}, headers={"Prefer": prefer})
        return answer.status_code, answer.json()["detection"] is not None

    assert statuses(700, "wait=0") == (201, False)
    assert statuses(701, "wait=50") == (201, True)
    assert statuses(702, "respond-async, wait=50") == (201, True)


def test_a_read_with_the_position_of_an_upload_never_misses_it(api: httpx.Client) -> None:
    for seed in range(300, 320):
        answer = api.post(
            "/images/", files={"file": ("a", picture(seed))}, headers={"Prefer": "respond-async"}
        )
        position, image_id = answer.headers["circles-position"], answer.json()["image_id"]
        reads = [f"/images/{image_id}", "/images"]
        for path in reads:
            found = api.get(path, params={"after": position}).raise_for_status().json()
            newest = found if "image_id" in found else found["images"][0]
            assert (newest["image_id"], newest["width"]) == (image_id, 64)


def test_a_list_is_filtered_over_pages_and_says_what_it_cannot_be_asked_for(api: httpx.Client) -> None:
    sent = {upload(api, picture(seed), source="gate 7").json()["image_id"] for seed in range(340, 345)}
    found, cursor = [], ""
    asked = {"source": "gate 7", "status": "detected", "min_circles": "1", "limit": "2"}
    while cursor is not None:
        page = api.get("/images", params=asked | {"cursor": cursor}).raise_for_status().json()
        found += [image["image_id"] for image in page["images"]]
        cursor = page["next"]
    assert (len(found), set(found)) == (5, sent)
    refused = api.get("/images?source=a%00b&since=yesterday&version=2")
    assert refused.status_code == 422
    assert "source: has a NUL" in refused.json()["detail"]
    assert "since: Input should be a valid datetime" in refused.json()["detail"]


def test_a_position_that_the_view_does_not_reach_in_time_is_504_with_the_lag(api: httpx.Client) -> None:
    position, _, seen = upload(api, picture(330)).headers["circles-position"].partition(",")
    partition, _, offset = position.partition("-")
    answer = api.get("/images", params={"after": f"{partition}-{int(offset) + 7}"})
    assert answer.status_code == 504
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["lag"] == 7
    assert "7 more messages of images.uploaded" in answer.json()["detail"]
    assert api.get("/images", params={"after": "7"}).status_code == 400
    generation, _, snapshot = seen.partition(".")
    ahead = api.get("/images", params={"after": f"{generation}.{int(snapshot) + 1000}"})
    assert (ahead.status_code, "more commits" in ahead.json()["detail"]) == (504, True)
    assert api.get("/images", params={"after": f"retired_{generation}.{10**9}"}).status_code == 200


def test_an_image_comes_back_with_its_facts_and_its_bytes(api: httpx.Client) -> None:
    data = picture(6, "WEBP")
    more = {"source": "camera-1", "captured_at": "2026-01-31T12:00:00Z", "attributes": '{"lane": "3"}'}
    path = upload(api, data, **more).headers["location"]
    image = api.get(path).json()
    assert image["status"] == "detected"
    assert (image["source_id"], image["attributes"], image["content_type"]) == (
        "camera-1",
        {"lane": "3"},
        "image/webp",
    )
    assert image["captured_at"] == "2026-01-31T12:00:00+00:00"
    assert (image["width"], image["height"], image["size_bytes"]) == (64, 48, len(data))
    assert image["detection"]["model_name"] == "dummy"
    assert image["objects"][0]["score"] == 1
    content = api.get(path + "/content")
    assert content.content == data
    assert (content.headers["content-type"], content.headers["x-content-type-options"]) == (
        "image/webp",
        "nosniff",
    )
    assert api.get(path + "/content", headers={"If-None-Match": content.headers["etag"]}).status_code == 304


def test_pages_hold_every_image_once_newest_first_while_images_arrive(api: httpx.Client) -> None:
    first = [upload(api, picture(seed)).json()["image_id"] for seed in range(10, 17)]
    page = api.get("/images", params={"limit": 3, "include": "objects"}).json()
    seen = [image["image_id"] for image in page["images"]]
    assert all(len(image["objects"]) == 1 for image in page["images"])
    upload(api, picture(17))
    while page["next"]:
        page = api.get("/images", params={"limit": 3, "cursor": page["next"]}).json()
        seen += [image["image_id"] for image in page["images"]]
    assert len(seen) == len(set(seen))
    assert seen[:7] == first[::-1]
    assert api.get("/images", params={"cursor": "x"}).status_code == 400


def test_the_same_bytes_are_one_image_also_when_sent_at_the_same_moment(api: httpx.Client) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: upload(api, picture(30)), range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len({answer.json()["image_id"] for answer in answers}) == 1
    later = upload(api, picture(30))
    assert later.status_code == 409
    assert later.json()["image_id"] in later.json()["detail"]
    assert later.headers["location"] == answers[0].headers.get("location", later.headers["location"])


def jpeg() -> bytes:
    return picture(40, "JPEG", 320, 240)


def png_of_20_000_pixels_squared() -> bytes:
    """10 KB that would decode to 1.2 GB: the size in the header is what counts."""
    data = bytearray(picture(41))
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", 400, "empty"),
        (b"just some text, whatever its name says", 400, "JPEG, PNG or WebP"),
        (jpeg()[:-2000], 400, "truncated"),
        (png_of_20_000_pixels_squared(), 400, "too many pixels, at most 25000000"),
        (picture(42, "GIF"), 400, "GIF"),
        (picture(43, "BMP", 600, 200), 413, "200000 bytes"),
    ],
    ids=["empty", "text", "truncated", "too many pixels", "GIF", "too large"],
)
def test_a_bad_file_is_refused_in_plain_words_and_leaves_nothing(
    api: httpx.Client, api_settings: Settings, data: bytes, status: int, said: str
) -> None:
    before = stored(api_settings)
    answer = upload(api, data)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert stored(api_settings) == before


def test_a_form_that_is_none_says_what_would_be_right(api: httpx.Client, api_settings: Settings) -> None:
    before = stored(api_settings)
    wrong_field = api.post("/images/", files={"image": ("a", picture(50))})
    assert (wrong_field.status_code, "'file'" in wrong_field.json()["detail"]) == (422, True)
    no_form = api.post("/images/", content=picture(51))
    assert (no_form.status_code, "multipart/form-data" in no_form.json()["detail"]) == (415, True)
    misspelt = upload(api, picture(53), sorce="gate")
    assert (misspelt.status_code, misspelt.json()["detail"][:26]) == (422, "sorce: a form has file, so")
    bad_time = upload(api, picture(52), captured_at="yesterday")
    assert (bad_time.status_code, "captured_at" in bad_time.json()["detail"]) == (422, True)
    assert stored(api_settings) == before


def test_who_sends_too_much_reads_why(api: httpx.Client, tmp_path: Path) -> None:
    """Also who reads no answer before all is sent, and would find the connection reset."""
    for size in (300_000, 12_000_000, 90_000_000):
        (tmp_path / f"{size}.jpg").write_bytes(bytes(size))
        answer = api.post("/images/", files={"file": ("a.jpg", bytes(size))})
        assert (answer.status_code, "the most that one image" in answer.json()["detail"]) == (413, True)

    images = list(tmp_path.iterdir())

    async def sent() -> list[str]:
        return [each.reason async for each in send(images, str(api.base_url))]

    assert asyncio.run(sent()) == ["larger than 200000 bytes, the most that one image may have"] * 3


def stored(settings: Settings) -> tuple[int, int]:
    """How many objects and messages there are."""
    objects = list(Path(settings.data_dir / "objects").glob("*"))
    return len(objects), sum(len(read_all(settings, topic)) for topic in TOPICS[:1])


def test_health_and_config_and_docs(api: httpx.Client, api_settings: Settings) -> None:
    assert api.get("/health").json()["status"] == "ok"
    config = api.get("/config")
    assert config.json()["mode"] == "dummy"
    assert config.json()["catalog_url"] == "set"
    assert api_settings.catalog_url.get_secret_value() not in config.text
    assert api.get("/docs").status_code == 200
    assert "/images/{image_id}/objects" in api.get("/openapi.json").json()["paths"]
    assert "<title>" in api.get("/").text


def test_status_says_how_far_each_stage_is(api: httpx.Client) -> None:
    upload(api, picture(60))
    status = api.get("/status").json()
    assert status["images"] >= status["detected"] > 0
    wait_until(lambda: api.get("/status").json()["pending"] == 0)
    assert [stage["stage"] for stage in status["stages"]] == ["detect", "materialize"]
    page = files("query_api").joinpath("web/index.html").read_text()
    assert re.findall(r'data-stage="(\w+)"', page) == ["detect", "materialize"]


def test_status_is_what_the_command_shows(api: httpx.Client, api_settings: Settings) -> None:
    wait_until(lambda: api.get("/status").json()["said"] == ["nothing waits"])
    told = api.get("/status").json()
    shown = orjson.loads(orjson.dumps(as_object(*look(api_settings))))
    for found in (told, shown):
        del found["at"]  # and the rest is of two moments, with nothing going on
    assert {name: told[name] for name in shown} == shown
    assert shown.keys() == {"last_commit", "said", "stages"}
