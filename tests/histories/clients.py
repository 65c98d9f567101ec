"""Clients of a run, each request on a connection of its own, so that any process answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import aiohttp
import orjson

from streams.settings import Settings
from tests.histories.history import History, Kind, Read, Row, Upload, Walk
from tests.histories.judge import places
from tests.integration.flow import picture

KINDS: tuple[Kind, ...] = ("image", "list", "objects")
AGAIN_S = 0.1
MOST_TRIES = 600
"""Of one page, beyond which the run fails: no process came back for a minute."""
FAILED = (aiohttp.ClientError, ConnectionError, TimeoutError)


def now() -> datetime:
    return datetime.now(UTC)


class Clients:
    """What the clients of one run share. over: of time.monotonic, when they end."""

    def __init__(
        self, settings: Settings, http: aiohttp.ClientSession, history: History, over: float
    ) -> None:
        self._url, self._http, self._history, self._over = settings.api_url, http, history, over
        self._acknowledged: dict[int, int] = {}
        self._pictures = 0

    async def upload_and_read(self, source: str, random: Random) -> None:
        """Upload, waiting or not, and read it at once in several ways, until the end."""
        while time.monotonic() < self._over:
            upload = await self._upload(source, waits=random.random() < 0.5)
            self._history.uploads.append(upload)
            if not upload.position:
                await asyncio.sleep(AGAIN_S)
                continue
            for partition, offset in places(upload.position).items():
                self._acknowledged[partition] = max(offset, self._acknowledged.get(partition, -1))
            for kind in random.sample(KINDS, random.randint(1, 3)):
                filtered = kind == "objects" or random.random() < 0.5
                self._history.reads.append(await self._read(kind, upload, source if filtered else None))

    async def walk(self, random: Random, sources: list[str]) -> None:
        """Page through the list, newest or oldest first, all of it or a part, until the end."""
        while time.monotonic() < self._over:
            since = now() - timedelta(seconds=random.uniform(5, 20)) if random.random() < 0.5 else None
            source = random.choice(sources) if random.random() < 0.5 else None
            limit = random.randint(2, 9) if since or source else random.randint(10, 40)
            self._history.walks.append(await self._walk(random.random() < 0.5, source, since, limit))

    async def _upload(self, source: str, *, waits: bool) -> Upload:
        self._pictures += 1
        form = aiohttp.FormData({"source": source})
        form.add_field("file", picture(self._pictures), filename="picture")
        begin, headers = now(), {} if waits else {"Prefer": "respond-async"}
        try:
            async with self._http.post(f"{self._url}/images/", data=form, headers=headers) as answer:
                body, status = orjson.loads(await answer.read()), answer.status
                position = answer.headers.get("Circles-Position", "")
        except FAILED:
            return Upload(begin, now(), source, 0)
        circles = (body.get("detection") or {}).get("count", 0)
        return Upload(begin, now(), source, status, body.get("image_id", ""), position, circles)

    async def _read(self, kind: Kind, upload: Upload, source: str | None) -> Read:
        path = {"image": f"/images/{upload.image_id}", "list": "/images", "objects": "/objects"}[kind]
        asked = {"after": upload.position}
        if kind == "image":
            source = None
        else:
            asked |= {"limit": "500"} | ({"source": source} if source else {})
        begin = now()
        status, body = await self._get(path, asked)
        rows: tuple[Row, ...] = ()
        if status == 200 and kind == "image":
            rows = (_row(body),) if "uploaded_at" in body else ()
        elif status == 200:
            rows = tuple(_row(row) for row in body["images" if kind == "list" else "objects"])
        return Read(
            begin, now(), kind, upload.position, status, upload.image_id, source, 500, rows, body.get("lag")
        )

    async def _walk(self, oldest_first: bool, source: str | None, since: datetime | None, limit: int) -> Walk:
        after = ",".join(f"{partition}-{offset}" for partition, offset in self._acknowledged.items())
        asked = {"after": after, "limit": str(limit), "sort": "oldest" if oldest_first else "newest"}
        asked |= {"source": source} if source else {}
        asked |= {"since": since.isoformat()} if since else {}
        begin, pages, tries, cursor = now(), [], [], ""
        while cursor is not None:
            status, body = await self._get("/images", asked | {"cursor": cursor})
            tries.append(status)
            if status == 200:
                pages.append(tuple(_row(row) for row in body["images"]))
                cursor = body["next"]
            elif status in (0, 503, 504) and len(tries) - len(pages) < MOST_TRIES:
                await asyncio.sleep(AGAIN_S)
            else:
                raise AssertionError(f"{status} to a page: {body}")
        return Walk(begin, now(), after, oldest_first, tuple(pages), source, since, tuple(tries))

    async def _get(self, path: str, asked: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        try:
            async with self._http.get(f"{self._url}{path}", params=asked) as answer:
                return answer.status, orjson.loads(await answer.read())
        except FAILED:
            return 0, {}


def _row(row: Mapping[str, Any]) -> Row:
    """Of an image or of a circle."""
    uploaded_at = datetime.fromisoformat(row["uploaded_at"])
    return Row(row["image_id"], uploaded_at, row["source_id"], row.get("status", "detected"))


@asynccontextmanager
async def connections() -> AsyncIterator[aiohttp.ClientSession]:
    """A new one for each request."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as session:
        yield session
