"""Object storage in a folder: whole objects, verified."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import pytest

from streams.errors import ObjectUnreadable, StoreUnavailable
from streams.store import Store

DATA = b"the bytes of an image"
SHA256 = hashlib.sha256(DATA).hexdigest()


def store(folder: Path) -> Store:
    return Store((folder / "objects").as_uri(), 10_000_000)


def put(there: Store, key: str = "a.png", data: bytes = DATA) -> str:
    return asyncio.run(there.put(key, data))


def get(there: Store, uri: str, size_bytes: int = len(DATA), sha256: str | None = SHA256) -> bytes:
    async def bounded() -> bytes:
        return await asyncio.wait_for(there.get(uri, size_bytes=size_bytes, sha256=sha256), 10)

    return asyncio.run(bounded())


def test_what_is_put_comes_back_by_its_uri(tmp_path: Path) -> None:
    uri = put(store(tmp_path))
    assert uri == (tmp_path / "objects" / "a.png").as_uri()
    assert get(store(tmp_path), uri) == DATA


def test_a_folder_whose_name_needs_escapes_in_a_url_works(tmp_path: Path) -> None:
    there = store(tmp_path / "näme with #, ? and %41")
    assert get(there, put(there, "ä b%20.png")) == DATA


def test_an_object_is_replaced_whole_under_its_readers(tmp_path: Path) -> None:
    old, new = b"a" * 3_000_000, b"b" * 3_000_000
    there = store(tmp_path)
    path = tmp_path / "objects" / "a.png"

    async def race() -> set[bytes]:
        await there.put("a.png", old)
        puts = asyncio.create_task(replace())
        seen = set()
        while not puts.done():
            seen.add(await asyncio.to_thread(path.read_bytes))
        return seen

    async def replace() -> None:
        for data in (new, old) * 5:
            await there.put("a.png", data)

    assert asyncio.run(race()) <= {old, new}
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_stored_is_said(tmp_path: Path) -> None:
    put(store(tmp_path))
    with pytest.raises(StoreUnavailable, match=r"a\.png/b"):
        put(store(tmp_path), "a.png/b")


def test_other_bytes_of_the_same_size_are_refused(tmp_path: Path) -> None:
    uri = put(store(tmp_path), data=DATA[::-1])
    with pytest.raises(ObjectUnreadable, match=f"has SHA-256 .*, its event says {SHA256}"):
        get(store(tmp_path), uri)
    assert get(store(tmp_path), uri, sha256=None) == DATA[::-1]


def test_another_size_is_refused_before_the_bytes_are_read(tmp_path: Path) -> None:
    uri = put(store(tmp_path))
    with (tmp_path / "objects" / "a.png").open("wb") as sparse:
        sparse.truncate(2**30)
    before = getrusage(RUSAGE_SELF).ru_maxrss
    with pytest.raises(ObjectUnreadable, match="has 1073741824 bytes, its event says 21"):
        get(store(tmp_path), uri)
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 2**19  # KiB: not half of it was in memory


def test_a_missing_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(ObjectUnreadable, match=r"/b\.png does not exist"):
        get(store(tmp_path), put(store(tmp_path)).replace("a.png", "b.png"))


@pytest.mark.parametrize(
    "uri",
    [
        "", "a.png", "/etc/passwd", "file:///etc/passwd", "s3://bucket/a.png", "http://127.0.0.1/a.png",
        "{store}", "{store}/", "{store}x/a.png", "{store}/../secret", "{store}/./a.png", "{store}/b/../a.png",
        "{store}//a.png", "{store}/a.png/",
    ],
)  # fmt: skip
def test_a_uri_outside_the_store_is_refused(tmp_path: Path, uri: str) -> None:
    put(store(tmp_path))
    (tmp_path / "secret").write_bytes(DATA)
    with pytest.raises(ObjectUnreadable, match="is not inside the store"):
        get(store(tmp_path), uri.format(store=store(tmp_path).url))


@pytest.mark.parametrize(
    "key",
    [
        "folder", "a.png/b", "a.png#1", "a\0b", "a\nb", "\x7f", "n" * 300, "n/" * 3000 + "n",
        "%2e%2e/secret", "a*",
    ],
    ids=lambda key: repr(key[:12]),
)  # fmt: skip
def test_a_uri_that_can_name_no_object_is_unreadable_rather_than_waited_for(tmp_path: Path, key: str) -> None:
    """Waiting for the store would not help, and would hold up every image behind this one."""
    put(store(tmp_path))
    (tmp_path / "objects" / "folder").mkdir()
    (tmp_path / "secret").write_bytes(DATA)
    with pytest.raises(ObjectUnreadable):
        get(store(tmp_path), f"{store(tmp_path).url}/{key}")


def test_a_folder_is_ready(tmp_path: Path) -> None:
    assert asyncio.run(store(tmp_path).ready())


def test_a_bucket_that_does_not_answer_is_unavailable_not_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("REGION", "x")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    bucket = Store("s3://bucket/prefix", 10_000_000)
    assert not asyncio.run(bucket.ready())
    with pytest.raises(StoreUnavailable):
        get(bucket, "s3://bucket/prefix/a.png")
