"""Look-ups: requests a second of GET /images/{id}/objects, against an empty route."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import psutil
import uuid_utils.compat as uuids

from bench import events
from bench.load import Load, Request, figures, load
from bench.measure import Figure, Say, interleaved, median
from bench.stack import infrastructure, limits, processes, produce
from bench.upload import EMPTY
from deploy.local.ports import free_ports
from deploy.local.supervise import running
from streams import lake
from streams.settings import Settings
from streams.topics import DETECTED, UPLOADED

IMAGES = 5_000
ROUNDS = 4
SECONDS = 2.0
OURS, ALONE = "look-up", "look-up, one at a time"


def run(say: Say) -> list[Figure]:
    [port] = free_ports(1)
    with infrastructure() as settings:
        ids = [uuids.uuid7() for _ in range(IMAGES)]
        say(f"folding {IMAGES:,} images of {events.CIRCLES} circles")
        produce(settings, UPLOADED, (events.uploaded(i, f"{settings.objects_url}/{i}", b"-") for i in ids))
        produce(settings, DETECTED, events.detected(IMAGES, ids))
        with processes(settings, "materializer"):
            size = _until_folded(settings)
        with (
            processes(settings, "api") as api,
            running(settings.data_dir / "logs", limits(settings.data_dir / "stored", port)) as others,
        ):
            ours, limit = psutil.Process(api.pids()["api"]), psutil.Process(others.pids()["limits"])
            one = httpx.get(f"{settings.api_url}/images/{ids[0]}/objects", timeout=30).raise_for_status()
            assert one.json()["count"] == events.CIRCLES
            empty = itertools.repeat(Request("GET", f"http://127.0.0.1:{port}/empty"))
            look_ups = _look_ups(settings.api_url, [str(i) for i in ids])
            cases: dict[str, Callable[[], Load]] = {
                OURS: partial(load, look_ups, ours, seconds=SECONDS),
                EMPTY: partial(load, empty, limit, seconds=SECONDS),
                ALONE: partial(load, look_ups, ours, seconds=SECONDS, connections=1),
            }
            say("warming up")
            for case in cases.values():
                case()
            found = interleaved(ROUNDS, cases, say)
    return [median(name, unit, [value]) for name, unit, value in size] + figures(
        found, [OURS, ALONE], [EMPTY]
    )


def _look_ups(api_url: str, ids: list[str]) -> Iterator[Request]:
    pick = random.Random(1)
    while True:
        yield Request("GET", f"{api_url}/images/{pick.choice(ids)}/objects")


def _until_folded(settings: Settings) -> list[tuple[str, str, float]]:
    """Wait until the view has all images; how large it is."""
    deadline = time.monotonic() + 60
    with lake.connect(settings, read_only=True) as view:
        while view.execute("SELECT count(*) FROM lake.detections").fetchall() != [(IMAGES,)]:
            assert time.monotonic() < deadline, "the view was not filled within a minute"
            time.sleep(0.2)
        ((objects,),) = view.execute("SELECT count(*) FROM lake.objects").fetchall()
        ((files,),) = view.execute("SELECT sum(file_count) FROM ducklake_table_info('lake')").fetchall()
    return [
        ("images in the view", "images", IMAGES),
        ("circles", "circles", objects),
        ("files", "files", files),
    ]
