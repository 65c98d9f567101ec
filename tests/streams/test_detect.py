"""One message to its outcome: a result, a dead letter with all of the message, or waiting."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from streams.circles import object_ids
from streams.codec import Codec
from streams.detect import header_pairs, outcome
from streams.gate import Stopping
from streams.model import KServeModel
from streams.outcome import MOST_FAILED_CALLS, Detector
from streams.records import CirclesDetected, ImageFailed, ImageUploaded, dead_letter_id, key_of
from streams.settings import Settings
from streams.store import Store
from streams.topics import UPLOADED
from tests.examples import IMAGE_ID, uploaded
from tests.streams.test_model import answers, prediction

IMAGE = b"the bytes of an image"
PATIENCE_S = 20
Outcome = CirclesDetected | ImageFailed


@dataclass(frozen=True)
class Delivery:
    """A message as Faust hands it over."""

    value: bytes | None
    offset: int = 1207
    partition: int = 3
    topic: str = UPLOADED.name
    key: bytes | None = str(IMAGE_ID).encode()
    headers: Any = (("traceparent", b"00-1"), ("a", None))


def stored(folder: Path, data: bytes = IMAGE, **more: Any) -> ImageUploaded:
    """An event whose image lies in the store."""
    settings = Settings(data_dir=folder, storage_url="")
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.png"
    uri = asyncio.run(Store(settings.objects_url, 10_000_000).put(name, data))
    facts = {"uri": uri, "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    return uploaded(**facts | more)


def outcomes(
    folder: Path,
    server: Callable[[httpx.Request], Any],
    *values: bytes | None,
    stopping: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """What becomes of messages that come in one batch."""
    settings = Settings(
        data_dir=folder,
        storage_url="",
        model_server_url="http://model",
        model_service_retries=0,
        model_protocol="v1",
    )

    async def run() -> list[Outcome]:
        async with KServeModel(settings, httpx.MockTransport(server)) as model:
            store = Store(settings.objects_url, 10_000_000)
            detector = Detector(store, model, settings.model_concurrency, stopping)
            messages = [Delivery(value, offset=1207 + n) for n, value in enumerate(values)]
            together = asyncio.gather(*(outcome(Codec(), detector, message) for message in messages))
            return await asyncio.wait_for(together, PATIENCE_S)

    return asyncio.run(run())


def good(_: httpx.Request) -> httpx.Response:
    return answers(prediction(0.25), prediction(0.75), **{"model-version": "7"})


def unreachable(_: httpx.Request) -> httpx.Response:
    raise AssertionError("the model is not asked")


def image_of(request: httpx.Request) -> bytes:
    return base64.b64decode(orjson.loads(request.content)["instances"][0]["image"]["b64"])


def framed(event: ImageUploaded) -> bytes:
    return Codec().encode(event)


def test_an_image_becomes_its_circles(tmp_path: Path) -> None:
    event = stored(tmp_path, project_id="p")
    (record,) = outcomes(tmp_path, good, framed(event))
    assert isinstance(record, CirclesDetected)
    assert (record.image_id, record.project_id, record.replay_id) == (event.image_id, "p", None)
    assert (record.model_name, record.model_version) == ("circles", "7")
    assert (record.source_partition, record.source_offset) == (3, 1207)
    assert record.circles["score"].tolist() == [0.75, 0.25]
    ids = [i.bytes for i in object_ids(event.image_id, "circles", "7", 2)]
    assert [i.tobytes() for i in record.circles["object_id"]] == ids
    assert key_of(record) == key_of(event)


def test_a_redelivery_gives_the_same_result(tmp_path: Path) -> None:
    first, again = outcomes(tmp_path, good, *[framed(stored(tmp_path))] * 2)
    assert isinstance(first, CirclesDetected) and isinstance(again, CirclesDetected)
    assert first.event_id == again.event_id
    assert np.array_equal(first.circles, again.circles)


def test_an_image_without_circles_is_a_result(tmp_path: Path) -> None:
    (record,) = outcomes(tmp_path, lambda _: answers(), framed(stored(tmp_path)))
    assert isinstance(record, CirclesDetected)
    assert len(record.circles) == 0


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"sha256": "0" * 64}, "has SHA-256"),
        ({"size_bytes": 20}, "has 21 bytes, its event says 20"),
        ({"uri": "{store}/b.png"}, "does not exist"),
        ({"uri": "{store}"}, "is not inside the store"),
        ({"uri": "file:///etc/passwd"}, "is not inside the store"),
        ({"uri": "{store}/../faust"}, "is not inside the store"),
        ({"uri": "http://127.0.0.1/a.png"}, "is not inside the store"),
        ({"uri": "{store}/folder"}, "does not exist"),
    ],
)
def test_an_image_that_cannot_be_read_is_a_dead_letter(
    tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    settings = Settings(data_dir=tmp_path, storage_url="")
    event = stored(tmp_path, project_id="p")
    (tmp_path / "objects" / "folder").mkdir()
    change = {name: v.format(store=settings.objects_url) if name == "uri" else v for name, v in wrong.items()}
    value = framed(stored(tmp_path, project_id="p", **change))
    (letter,) = outcomes(tmp_path, unreachable, value)
    assert isinstance(letter, ImageFailed)
    assert (letter.image_id, letter.project_id) == (event.image_id, "p")
    assert (letter.stage, letter.error) == ("detect", "ObjectUnreadable")
    assert reason in letter.reason


def test_a_dead_letter_keeps_the_whole_message_and_where_it_was(tmp_path: Path) -> None:
    value = framed(stored(tmp_path, sha256="0" * 64))
    (letter,) = outcomes(tmp_path, unreachable, value)
    assert isinstance(letter, ImageFailed)
    delivered = Delivery(value)
    assert (letter.key, letter.value, letter.headers) == (delivered.key, value, delivered.headers)
    assert (letter.source_topic, letter.source_partition, letter.source_offset) == (UPLOADED.name, 3, 1207)
    assert letter.dead_letter_id == dead_letter_id("detect", UPLOADED.name, 3, 1207)
    assert Codec().decode(Codec().encode(letter)) == letter


def test_headers_of_one_name_are_all_kept() -> None:
    """Kafka allows them, and some tracing libraries write them."""
    headers = (("a", b"1"), ("a", b"2"), ("b", b""))
    assert header_pairs(Delivery(None, headers=headers)) == headers


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xc3\x01garbage!"], ids=repr)
def test_a_value_that_is_no_record_is_a_dead_letter_of_its_keys_image(
    tmp_path: Path, value: bytes | None
) -> None:
    (letter,) = outcomes(tmp_path, unreachable, value)
    assert isinstance(letter, ImageFailed)
    assert (letter.image_id, letter.error, letter.value) == (IMAGE_ID, "InvalidRecord", value)


@pytest.mark.parametrize(
    "reply",
    [answers(prediction(1.5)), httpx.Response(200, text="<html>"), httpx.Response(422, text="no image")],
    ids=["no circle", "HTML", "refused"],
)
def test_an_image_that_the_model_answers_with_nonsense_is_a_dead_letter(
    tmp_path: Path, reply: httpx.Response
) -> None:
    (letter,) = outcomes(tmp_path, lambda _: reply, framed(stored(tmp_path)))
    assert isinstance(letter, ImageFailed)
    assert (letter.image_id, letter.error) == (IMAGE_ID, "InvalidModelAnswer")


def test_a_model_that_is_down_is_waited_for(tmp_path: Path) -> None:
    calls = probes = 0

    def down_then_up(request: httpx.Request) -> httpx.Response:
        nonlocal calls, probes
        if request.method == "GET":
            probes += 1
            return httpx.Response(200 if probes > 2 else 503)
        calls += 1
        if probes <= 2:
            raise httpx.ConnectError("refused")
        return good(request)

    events = [stored(tmp_path, bytes([n])) for n in range(3)]
    records = outcomes(tmp_path, down_then_up, *map(framed, events))
    assert [type(record) for record in records] == [CirclesDetected] * 3
    assert probes == 3
    assert calls <= 6


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(401),
        httpx.Response(404),
        httpx.Response(429),
        httpx.Response(503, headers={"retry-after": "1"}),
    ],
    ids=repr,
)
def test_a_server_that_is_ready_but_serves_nobody_is_waited_for(
    tmp_path: Path, refusal: httpx.Response
) -> None:
    calls = 0

    def refuses(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        if request.method == "GET":
            return httpx.Response(200)
        calls += 1
        return refusal if calls <= MOST_FAILED_CALLS + 1 else good(request)

    (record,) = outcomes(tmp_path, refuses, framed(stored(tmp_path)))
    assert isinstance(record, CirclesDetected)
    assert calls == MOST_FAILED_CALLS + 2


def test_an_image_that_breaks_the_server_each_time_is_given_up_and_its_neighbour_is_not(
    tmp_path: Path,
) -> None:
    asked: list[bytes] = []

    def breaks(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200)
        asked.append(image_of(request))
        return httpx.Response(500, text="segfault") if asked[-1] == b"bad" else good(request)

    bad, neighbour = stored(tmp_path, b"bad"), stored(tmp_path, b"good")
    letter, record = outcomes(tmp_path, breaks, framed(bad), framed(neighbour))
    assert isinstance(record, CirclesDetected)
    assert isinstance(letter, ImageFailed)
    assert letter.error == "ModelUnavailable"
    assert f"failed {MOST_FAILED_CALLS} times on this image, the last with: " in letter.reason
    assert "answered 500: segfault" in letter.reason
    assert asked.count(b"bad") == MOST_FAILED_CALLS


class Fragile:
    """A server that a bad image ends, with every call under way; it is back at the next probe."""

    def __init__(self) -> None:
        self.ended = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200)
        began = self.ended
        bad = image_of(request).startswith(b"bad")
        for _ in range(2 if bad else 5):
            await asyncio.sleep(0)
        self.ended += bad
        if self.ended > began:
            raise httpx.ReadError("the server went away")
        return good(request)


def test_images_that_end_the_server_do_not_take_a_good_one_with_them(tmp_path: Path) -> None:
    images = [b"good", *(b"bad %d" % n for n in range(6)), b"good too"]
    records = outcomes(tmp_path, Fragile(), *(framed(stored(tmp_path, image)) for image in images))
    assert [type(record) for record in records] == [CirclesDetected, *[ImageFailed] * 6, CirclesDetected]


def test_waiting_ends_when_the_stage_stops(tmp_path: Path) -> None:
    stopping = False

    def down(request: httpx.Request) -> httpx.Response:
        nonlocal stopping
        stopping = request.method == "GET"  # the first probe comes, and the stage is told to stop
        return httpx.Response(503)

    with pytest.raises(Stopping, match="waiting for the model server"):
        outcomes(tmp_path, down, framed(stored(tmp_path)), stopping=lambda: stopping)
