"""Reading a form: its size is checked while it comes, whatever its headers claim."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from query_api import errors
from query_api.incoming import Reader
from query_api.limits import FORM_OVERHEAD, Pace
from streams.settings import Settings

MOST = 1_500_000
"""Of one file; so large that a part of it is kept on disk while it is read."""
FORM = {"content-type": "multipart/form-data; boundary=X"}


def app(timeout_s: float) -> FastAPI:
    made = FastAPI()
    errors.install(made)

    reader = Reader(Settings(max_upload_size=MOST, upload_timeout_s=timeout_s, upload_by_url=False))

    @made.post("/")
    async def size(request: Request) -> dict[str, Any]:
        came = await reader.read(request)
        return {"size": len(came.data), "source": came.source_id}

    return made


def post(timeout_s: float = 30, **request: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app(timeout_s))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.post("/", **request)

    answer = asyncio.run(run())
    gc.collect()  # a temporary file that nobody closed is a warning, so a failure, of this very test
    return answer


def part(name: str, data: bytes, more: str = '; filename="a.png"') -> bytes:
    return f'--X\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"


class Chunks:
    """A body in chunks, and how much of it was taken."""

    def __init__(self, body: bytes, size: int = 65_536) -> None:
        self.pieces = [body[at : at + size] for at in range(0, len(body), size)]
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += len(piece)
            yield piece


def post_chunks(parts: Sequence[bytes], **headers: str) -> tuple[httpx.Response, Chunks]:
    chunks = Chunks(b"".join(parts) + b"--X--\r\n")
    return post(content=chunks, headers=FORM | headers), chunks


def test_a_file_of_just_the_limit_is_taken_with_its_fields() -> None:
    answer = post(files={"file": ("a.png", bytes(MOST))}, data={"source": "camera-1"})
    assert (answer.status_code, answer.json()) == (200, {"size": MOST, "source": "camera-1"})


def test_a_file_of_one_byte_more_is_refused() -> None:
    answer = post(files={"file": ("a.png", bytes(MOST + 1))})
    assert answer.status_code == 413
    assert answer.json()["detail"] == f"larger than {MOST} bytes, the most that one image may have"


@pytest.mark.parametrize(("length", "closes"), [(MOST + FORM_OVERHEAD + 1, False), (10**9, True)])
def test_a_length_over_the_limit_is_refused_before_the_body_is_read(length: int, closes: bool) -> None:
    """The connection is closed only where the rest would be too much to be thrown away."""
    answer, body = post_chunks([part("file", b"small")], **{"content-length": str(length)})
    assert (answer.status_code, body.taken, "connection" in answer.headers) == (413, 0, closes)


@pytest.mark.parametrize("headers", [{}, {"content-length": "10"}], ids=["no length", "a false length"])
def test_a_body_over_the_limit_is_not_read_to_its_end(headers: dict[str, str]) -> None:
    answer, body = post_chunks([part("file", bytes(MOST * 10))], **headers)
    assert answer.status_code == 413
    assert body.taken <= MOST + FORM_OVERHEAD + 2 * 65_536


@pytest.mark.parametrize("length", ["-1", "x", "1_0", "\u0661", "", "9" * 30, "0x10", "1.5"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    headers = {"content-length": length.encode()}
    answer = post(content=Chunks(b"x"), headers={**{k: v.encode() for k, v in FORM.items()}, **headers})
    assert answer.status_code == (413 if length == "9" * 30 else 400)
    assert answer.headers["connection"] == "close"


def test_thousands_of_parts_and_of_headers_are_not_kept() -> None:
    fields, fields_body = post_chunks([part("f", b"", "") * 20_000])
    headers, _ = post_chunks([part("file", b"x", '; filename="a"\r\n' + "a: b\r\n" * 1_000 + "c: d")])
    long, _ = post_chunks([part("file", b"x", '; filename="a"\r\na: ' + "b" * 100_000)])
    assert [answer.status_code for answer in (fields, headers, long)] == [400, 400, 400]
    assert fields_body.taken <= 2 * 65_536


class Slow:
    """A body that comes piece by piece."""

    def __init__(self, body: bytes, size: int, pause_s: float) -> None:
        self.pieces = [body[at : at + size] for at in range(0, len(body), size)]
        self.pause_s, self.taken = pause_s, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await asyncio.sleep(self.pause_s)
            self.taken += 1
            yield piece


def test_a_body_that_takes_too_long_is_408_and_the_connection_closed() -> None:
    slow = Slow(part("file", bytes(1000)) + b"--X--\r\n", 100, 0.2)
    answer = post(0.5, content=slow, headers=FORM)
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert "the body came too slowly" in answer.json()["detail"]
    assert slow.taken < len(slow.pieces)


def test_a_body_has_its_first_seconds_and_then_a_least_rate() -> None:
    pace = Pace(timeout_s=30, min_rate=1_000)
    assert [pace.due_s(read) for read in (0, 1_000, 10_000, 100_000)] == [5, 6, 15, 30]


def test_fields_do_not_get_round_the_limit() -> None:
    answer, _ = post_chunks([part("file", b"small"), part("source", bytes(FORM_OVERHEAD + 1), "")])
    assert answer.status_code == 400
    many, _ = post_chunks([part("file", b"small"), *(part(f"f{n}", b"", "") for n in range(21))])
    assert many.status_code == 400


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"json": {"url": "http://example.org/a.png"}}, 415, "by URL needs UPLOAD_BY_URL=1"),
        ({"content": b"raw bytes"}, 415, "send multipart/form-data with the image in the field 'file'"),
        ({"json": {"file": "x"}}, 415, "multipart/form-data"),
        ({"data": {"file": "x"}}, 415, "multipart/form-data"),
        ({"content": b"--X", "headers": {"content-type": "multipart/form-data"}}, 400, "cannot be read"),
        ({"content": b"no parts", "headers": FORM}, 400, "cannot be read"),
        ({"files": {"image": ("a", b"x")}}, 422, "fields sent: 'image'"),
        ({"content": part("file", b"x", "") + b"--X--\r\n", "headers": FORM}, 422, "fields sent: 'file'"),
        ({"content": b"--X--\r\n", "headers": FORM}, 422, "fields sent: none"),
        ({"files": [("file", ("a", b"x")), ("file", ("b", b"y"))]}, 400, "Too many files"),
        ({"files": [("file", ("a", b"x")), ("more", ("b", b"y"))]}, 400, "Too many files"),
    ],
    ids=[
        "by URL", "raw", "JSON", "urlencoded", "no boundary", "no parts", "wrong field", "no file name",
        "empty", "two files", "a file beside it",
    ],
)  # fmt: skip
def test_a_form_that_is_none_is_refused_with_what_would_be_right(
    request_: dict[str, Any], status: int, said: str
) -> None:
    answer = post(**request_)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_form_that_is_cut_off_is_refused() -> None:
    """Starlette leaves the unfinished file to the garbage collector, which warns."""
    whole = part("file", b"x" * 100) + b"--X--\r\n"
    answers = {post(content=whole[:end], headers=FORM).status_code for end in range(10, len(whole) - 8, 7)}
    assert answers <= {400, 422}
