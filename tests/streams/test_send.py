"""Sending files: which are found, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina

from streams.ingest.send import Sent, find_files, send


def make(folder: Path, *names: str) -> list[Path]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return [folder / name for name in names]


def sent(paths: list[Path], answer: Callable[[httpx.Request], Any], **more: Any) -> dict[str, Sent]:
    """What became of each file, by its name."""

    async def run() -> dict[str, Sent]:
        transport = httpx.MockTransport(answer)
        return {one.path.name: one async for one in send(paths, "http://api", transport=transport, **more)}

    with stamina.set_testing(True, attempts=3):  # no waits
        return asyncio.run(run())


def test_folders_are_searched_through_and_patterns_matched_each_file_once(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a.JPG", "note.txt", "deep/er/c.webp", "deep/d.jpeg")
    found, others = find_files([str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "deep/**/*.webp")])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "a.JPG", "b.png", "deep/d.jpeg", "deep/er/c.webp",
    ]  # fmt: skip
    assert others == {".txt": 1}


def test_a_file_named_outright_is_sent_whatever_its_name(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "photo[1].bin")
    assert find_files([str(path), str(tmp_path)]) == ([path], {})


def test_a_name_that_matches_nothing_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    with pytest.raises(FileNotFoundError, match=r"nowhere\*: no such file or folder"):
        find_files([str(tmp_path), str(tmp_path / "nowhere*")])


def test_an_upload_is_a_form_with_the_file_and_its_source(tmp_path: Path) -> None:
    requests: list[httpx.Request] = []

    def accept(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(201, json={"image_id": "1", "detection": {"detections": [], "count": 3}})

    assert sent(make(tmp_path, "a.png"), accept, source="camera-1") == {
        "a.png": Sent(tmp_path / "a.png", "accepted", "1", 3)
    }
    (request,) = requests
    assert (request.method, request.url.path) == ("POST", "/images/")
    assert b'name="file"; filename="a.png"' in request.content
    assert b'name="source"\r\n\r\ncamera-1\r\n' in request.content
    assert b'name="attributes"\r\n\r\n{"file_name": "a.png"}\r\n' in request.content


@pytest.mark.parametrize(
    ("answer", "state", "image_id", "circles", "reason"),
    [
        (httpx.Response(201, json={"image_id": "1", "detection": None}), "accepted", "1", None, ""),
        (httpx.Response(202, json={"image_id": "1", "detection": None}), "accepted", "1", None, ""),
        (httpx.Response(201, json={"image_id": "1", "detection": {"count": 0}}), "accepted", "1", 0, ""),
        (httpx.Response(409, json={"image_id": "7", "detail": "x"}), "duplicate", "7", None, ""),
        (httpx.Response(400, json={"detail": "not an image"}), "refused", None, None, "not an image"),
        (httpx.Response(502, text="<html>"), "refused", None, None, "HTTP 502: <html>"),
        (httpx.Response(400, json=["x"]), "refused", None, None, 'HTTP 400: ["x"]'),
    ],
    ids=["under way", "asynchronous", "no circles", "duplicate", "refused", "proxy", "odd"],
)
def test_what_became_of_a_file_is_told(
    tmp_path: Path, answer: httpx.Response, state: Any, image_id: str, circles: int, reason: str
) -> None:
    (path,) = make(tmp_path, "a.png")
    assert sent([path], lambda _: answer) == {"a.png": Sent(path, state, image_id, circles, reason)}


@pytest.mark.parametrize(
    "trouble",
    [*(httpx.Response(busy, json={"detail": "soon"}) for busy in (429, 503)), httpx.ConnectError("refused")],
    ids=repr,
)
def test_an_api_that_is_away_is_tried_again(tmp_path: Path, trouble: Any) -> None:
    calls = 0

    def later(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        if calls < 3 and isinstance(trouble, Exception):
            raise trouble
        accepted = httpx.Response(201, json={"image_id": "1", "detection": None})
        return accepted if calls == 3 else trouble

    assert sent(make(tmp_path, "a.png"), later)["a.png"].state == "accepted"
    assert calls == 3


def test_an_api_that_stays_away_is_the_reason(tmp_path: Path) -> None:
    busy = sent(make(tmp_path, "a.png"), lambda _: httpx.Response(503, json={"detail": "soon"}))["a.png"]
    assert (busy.state, busy.reason) == ("refused", "no answer: soon")


def test_one_file_that_fails_does_not_keep_the_others_back(tmp_path: Path) -> None:
    paths = [*make(tmp_path, "a.png", "b.png"), tmp_path / "gone.png"]

    def answer(request: httpx.Request) -> httpx.Response:
        if b'filename="a.png"' in request.content:
            return httpx.Response(400, json={"detail": "not an image"})
        return httpx.Response(201, json={"image_id": "1", "detection": None})

    became = sent(paths, answer)
    assert {name: one.state for name, one in became.items()} == {
        "a.png": "refused", "b.png": "accepted", "gone.png": "refused",
    }  # fmt: skip
    assert "gone.png" in became["gone.png"].reason


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_uploads_are_under_way_than_asked_for(tmp_path: Path, at_once: int) -> None:
    under_way = most = 0

    together = asyncio.Barrier(at_once)

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        async with asyncio.timeout(30):
            await together.wait()
        await asyncio.sleep(0.01)  # in which one more would come
        under_way -= 1
        return httpx.Response(201, json={"image_id": "1", "detection": None})

    paths = make(tmp_path, *(f"{n}.png" for n in range(9)))
    assert len(sent(paths, slow, at_once=at_once)) == 9
    assert most == at_once
