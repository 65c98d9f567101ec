"""Sending files through the upload route: what `circles send` does."""

from __future__ import annotations

import asyncio
import glob
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import stamina

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
"""What is taken from a folder; a file named outright is sent whatever its name."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file. `circles` is None while the detection is under way."""

    path: Path
    state: Literal["accepted", "duplicate", "refused"]
    image_id: str | None = None
    circles: int | None = None
    reason: str = ""


class Busy(Exception):
    """The API cannot take the upload now; it may be sent again."""


def find_files(patterns: Iterable[str]) -> tuple[list[Path], Counter[str]]:
    """The files that paths, folders (searched through) and globs name, each once, in order.

    And by how their names end how many others the folders have, which are left where they are. Raises
    FileNotFoundError naming a pattern that matches nothing, or where there is no file at all.
    """
    found: dict[Path, None] = {}
    others: dict[Path, None] = {}
    for pattern in patterns:
        matches = (
            [Path(pattern)] if Path(pattern).exists() else list(map(Path, glob.glob(pattern, recursive=True)))
        )
        if not matches:
            raise FileNotFoundError(f"{pattern}: no such file or folder, and no file matches it as a pattern")
        for match in sorted(matches):
            if not match.is_dir():
                found[match] = None
                continue
            for file in sorted(inside for inside in match.rglob("*") if inside.is_file()):
                (found if file.suffix.lower() in SUFFIXES else others)[file] = None
    if not found:
        raise FileNotFoundError("no .jpg, .jpeg, .png or .webp file in there")
    return list(found), Counter(p.suffix.lower() or p.name for p in others.keys() - found.keys())


async def send(
    paths: Iterable[Path],
    api_url: str,
    *,
    key: str = "",
    source: str = "",
    at_once: int = 4,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Sent]:
    """Upload each file and wait for its circles; yields as each is done, in no order.

    key: what the API asks for, where it does. An API that is away or answers 429 or 503 is tried again for
    about a minute.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        base_url=api_url, headers=headers, timeout=90, transport=transport
    ) as client:
        turns = asyncio.Semaphore(at_once)

        async def one(path: Path) -> Sent:
            async with turns:
                return await _upload(client, path, source)

        for done in asyncio.as_completed([asyncio.create_task(one(path)) for path in paths]):
            yield await done


async def _upload(client: httpx.AsyncClient, path: Path, source: str) -> Sent:
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        return Sent(path, "refused", reason=str(error))
    # By this name annotations find the image again.
    about = {"attributes": json.dumps({"file_name": path.name})}
    try:
        async for attempt in stamina.retry_context(
            on=(Busy, httpx.TransportError), attempts=None, timeout=60, wait_initial=0.3, wait_max=5
        ):
            with attempt:
                answer = await client.post(
                    "/images/", files={"file": (path.name, data)}, data={"source": source, **about}
                )
                if answer.status_code in (429, 503):
                    raise Busy(_detail(answer))
    except (Busy, httpx.TransportError) as error:
        return Sent(path, "refused", reason=f"no answer: {str(error) or type(error).__name__}")
    if answer.status_code in (201, 202):
        body = answer.json()
        detection = body["detection"]
        return Sent(path, "accepted", body["image_id"], detection and detection["count"])
    if answer.status_code == 409:
        return Sent(path, "duplicate", answer.json()["image_id"])
    hint = " (API_KEY is the setting for it)" if answer.status_code == 401 else ""
    return Sent(path, "refused", reason=_detail(answer) + hint)


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}: {answer.text[:200]}"
