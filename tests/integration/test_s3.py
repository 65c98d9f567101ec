"""Images in a bucket: the store over a real S3 API."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator

import httpx
import pytest

from deploy.local.ports import free_ports
from streams.errors import ObjectUnreadable, StoreUnavailable
from streams.store import Store
from tests.integration.flow import picture
from tests.integration.s3 import s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as (url, _):
        assert httpx.put(f"{url}/images", timeout=60).status_code == 200  # makes the bucket
        yield url


@pytest.fixture
def store(s3: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    return Store("s3://images/prefix", 10_000_000)


def test_an_image_in_a_bucket_comes_back_verified(store: Store) -> None:
    async def there_and_back() -> None:
        data = picture(1)
        uri = await store.put("a.png", data)
        assert uri == "s3://images/prefix/a.png"
        sha256 = hashlib.sha256(data).hexdigest()
        assert await store.get(uri, size_bytes=len(data), sha256=sha256) == data
        for wrong in ({"size_bytes": 1}, {"size_bytes": len(data), "sha256": "0" * 64}):
            with pytest.raises(ObjectUnreadable):
                await store.get(uri, **wrong)
        for elsewhere in (uri + "x", "s3://images/a.png", "s3://other/prefix/a.png", "file:///etc/passwd"):
            with pytest.raises(ObjectUnreadable):
                await store.get(elsewhere, size_bytes=1)
        assert await store.ready()

    asyncio.run(there_and_back())


def test_a_bucket_that_is_away_is_no_missing_image(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    away = Store("s3://images/prefix", 10_000_000)

    async def ask() -> None:
        assert not await away.ready()
        with pytest.raises(StoreUnavailable):
            await away.get("s3://images/prefix/a.png", size_bytes=1)

    asyncio.run(ask())
