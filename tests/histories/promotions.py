"""Uploads and reads of four API processes while versions are promoted to and fro, and what they saw, judged.

All the while a replay follows what is uploaded through one of them.

python -m tests.histories.promotions --promotions 20 --seed 1
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import aiohttp
import orjson

from bench.stack import infrastructure
from streams import promotions, replays
from streams.lake import connect, snapshot
from streams.records import CirclesDetected
from streams.replay_requests import request
from streams.settings import Settings
from streams.topics import DETECTED
from streams.version import Version
from tests.histories.clients import FAILED, connections
from tests.histories.promoted import Answer, Shown, read, violations
from tests.integration.flow import picture, read_all, stages, wait_until
from tests.integration.model_server import circles_of, model_server

PROCESSES = 4
UPLOADERS, READERS = 3, 4
BEFORE = 40
"""Images there when it begins, half of them with a replay's detections, too."""
ANSWERS, UPLOADS = 25, 5
"""Of each promotion's time at least, and of the time before the first one."""
SLOWEST_S = 300
VERSIONS = (Version("circles", "1"), Version("circles", "2"))
STAGES = ("worker", "materializer", "replayer", "api")
"""Without a maintainer: every snapshot is wanted at the end."""


@dataclass
class Seen:
    """What clients sent and were answered. uploaded: ids by when; refused: by path and status."""

    uploaded: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    made: list[Version] = field(default_factory=list)


class Clients:
    def __init__(self, settings: Settings, http: aiohttp.ClientSession, seen: Seen) -> None:
        self._settings, self._http, self._seen = settings, http, seen
        self._pictures = 0

    async def upload(self, *, waits: bool = True) -> None:
        self._pictures += 1
        headers = {} if waits else {"Prefer": "respond-async"}
        form = aiohttp.FormData()
        form.add_field("file", picture(self._pictures), filename="picture")
        status, body, _ = await self._ask("POST", "/images/", data=form, headers=headers)
        if status in (201, 202):
            self._seen.uploaded.append(body["image_id"])

    async def read(self, chance: Random) -> None:
        """One of the reads, of all or of an image."""
        image_id = chance.choice(self._seen.uploaded)
        limit = chance.randint(5, 100)
        path = chance.choice(
            [
                f"/images?limit={limit}",
                f"/images?limit={limit}&sort=oldest",
                f"/images?limit={limit}&include=objects",
                f"/images?limit={limit}&sort=most-circles",
                f"/objects?limit={limit}",
                f"/objects?limit={limit}&sort=largest",
                f"/images/{image_id}",
                f"/images/{image_id}/objects",
            ]
        )
        status, body, headers = await self._ask("GET", path)
        if status == 200:
            self._seen.answers.append(Answer(path, _number(headers), tuple(_shown(path, body))))

    async def _ask(self, method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
        try:
            async with self._http.request(method, f"{self._settings.api_url}{path}", **more) as answer:
                status, body, headers = answer.status, orjson.loads(await answer.read()), answer.headers
        except FAILED as error:
            self._seen.refused[type(error).__name__] += 1
            return 0, {}, {}
        if status not in (200, 201, 202):
            self._seen.refused[
                f"{status} to {method} {path.partition('?')[0].replace('/', ' ').split()[0]}"
            ] += 1
        return status, body, headers


def _number(headers: Any) -> int:
    return int(headers["Circles-Snapshot"].rpartition(".")[2])


def _shown(path: str, body: Any) -> Iterator[Shown]:
    if path.startswith("/objects"):
        found: dict[tuple[str, str], set[str]] = {}
        for row in body["objects"]:
            found.setdefault((row["image_id"], row["model_version"]), set()).add(row["object_id"])
        for (image_id, version), circles in found.items():
            yield Shown(image_id, version, frozenset(circles), all_circles=False)
    elif path.endswith("/objects"):
        yield Shown(body["image_id"], None, _ids(body["objects"]))
    else:
        for row in body.get("images", [body]):
            detection = row.get("detection")
            shown = _ids(row["objects"]) if row.get("objects") is not None else None
            yield Shown(row["image_id"], detection["model_version"] if detection else "", shown)


def _ids(objects: Any) -> frozenset[str]:
    return frozenset(each["object_id"] for each in objects)


async def happened(settings: Settings, count: int, chance: Random) -> Seen:
    """What clients saw while so many promotions were made."""
    seen, over = Seen(), asyncio.Event()
    async with connections() as http:
        clients = Clients(settings, http, seen)
        while len(seen.uploaded) < BEFORE:
            await clients.upload(waits=False)
        await asyncio.to_thread(_let_the_other_look, settings, Random(chance.random()))
        await asyncio.to_thread(partial(request, settings, *VERSIONS[1], by="anna", follow=True))

        async def again(what: Any, *arguments: Any) -> None:
            while not over.is_set():
                await what(*arguments)

        async with asyncio.TaskGroup() as group:
            for _ in range(UPLOADERS):
                group.create_task(again(clients.upload))
            for _ in range(READERS):
                group.create_task(again(clients.read, Random(chance.random())))
            for n in range(count + 1):
                if n:
                    await asyncio.to_thread(promotions.promote, settings, VERSIONS[n % 2], by="anna")
                    seen.made.append(VERSIONS[n % 2])
                await _enough(settings, seen, chance.random())
            over.set()
    return seen


async def _enough(settings: Settings, seen: Seen, more: float) -> None:
    """Until there were uploads, and answers that are of now, a random number beyond the least of both."""

    def newest() -> int:
        with connect(settings, read_only=True) as view:
            return snapshot(view)

    since, uploaded = await asyncio.to_thread(newest), len(seen.uploaded)
    answers, uploads = (int(least * (1 + more)) for least in (ANSWERS, UPLOADS))
    async with asyncio.timeout(SLOWEST_S):
        while len(seen.uploaded) < uploaded + uploads:  # noqa: ASYNC110 - other tasks do it
            await asyncio.sleep(0.05)
        while sum(answer.snapshot >= since for answer in seen.answers) < answers:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _let_the_other_look(settings: Settings, chance: Random) -> None:
    """At half of the images, so that a promotion changes some and leaves others."""

    def detected() -> list[Any]:
        with connect(settings, read_only=True) as view:
            return [row[0] for row in view.execute("SELECT image_id FROM lake.detections").fetchall()]

    wait_until(lambda: len(detected()) >= BEFORE, 120)
    half = tuple(chance.sample(sorted(detected()), BEFORE // 2))
    replay, _ = request(settings, *VERSIONS[1], by="anna", images=half)

    def finished() -> bool:
        with connect(settings, read_only=True) as view:
            return any(r.state == "finished" for r in replays.find(view) if r.requested == replay)

    wait_until(finished, 120)


def found(settings: Settings, seen: Seen) -> list[str]:
    """What cannot be, once every image is detected."""
    uploaded = set(seen.uploaded)

    def live() -> Counter[tuple[str, str]]:
        records = (r for r in read_all(settings, DETECTED) if isinstance(r, CirclesDetected))
        return Counter((str(r.image_id), r.model_version) for r in records if r.replay_id is None)

    wait_until(lambda: uploaded <= {image_id for image_id, _ in live()}, 120)
    wrong = list(violations(seen.answers, read(settings)))
    by_image = Counter(image_id for image_id, _ in live().elements())
    wrong += [f"{image_id} was detected live {n} times" for image_id, n in by_image.items() if n != 1]
    return wrong


def versions_live(settings: Settings) -> Counter[str]:
    records = (r for r in read_all(settings, DETECTED) if isinstance(r, CirclesDetected))
    return Counter(r.model_version for r in records if r.replay_id is None)


def replayed_images(settings: Settings) -> int:
    records = (r for r in read_all(settings, DETECTED) if isinstance(r, CirclesDetected))
    return len({r.image_id for r in records if r.replay_id is not None})


@contextmanager
def stack(settings: Settings) -> Iterator[Settings]:
    """Four API processes and all that an image passes through; each version finds circles of its own."""
    with model_server() as model:
        model.release.set()
        model.of_image = lambda path, image: circles_of(path.encode() + image)
        given = {
            "mode": "real", "model_server_url": model.url, "model_version": "1", "api_processes": PROCESSES,
            "window_images": 60,
        }  # fmt: skip
        settings = settings.model_copy(update=given)
        with stages(settings, *STAGES):
            yield settings


def told(settings: Settings, seen: Seen, wrong: list[str]) -> str:
    mixed = sum(len({s.version for s in answer.shown} - {""}) > 1 for answer in seen.answers)
    live, replayed = dict(versions_live(settings)), replayed_images(settings)
    lines = [
        f"{len(seen.made)} promotions; {len(seen.uploaded):,} uploads, detected live by {live}",
        f"{replayed:,} of them by replays",
        f"{len(seen.answers):,} answers judged, {mixed:,} of them with images of both versions",
        f"refused: {dict(seen.refused)}",
        f"{len(wrong)} violations",
        *(f"  {each}" for each in wrong[:10]),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--promotions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with infrastructure(partitions=4) as made, stack(made) as settings:
        began = time.monotonic()
        seen = asyncio.run(happened(settings, asked.promotions, Random(asked.seed)))
        wrong = found(settings, seen)
        print(f"seed {asked.seed}, {time.monotonic() - began:.0f} s")
        print(told(settings, seen, wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
