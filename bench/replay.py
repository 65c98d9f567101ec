"""Replays: images a second against the detector alone, and what live images wait while one runs.

The images are 640 x 480 JPEGs in a folder, on the log already when a replay looks at them. The detector alone
reads, decodes and detects the same files, in as many processes as the model server has workers. Live images
are uploaded at half the rate of what all stages together can do on this machine, which is less than what the
model server could, and wait for their circles.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import aiohttp
import cv2
import duckdb
import psutil
import uuid_utils.compat as uuids
import uvloop
from confluent_kafka import Consumer, TopicPartition

import detector
from bench import events
from bench.load import load
from bench.measure import Figure, Say, interleaved, median, percentile, ratio
from bench.server import encoded, model_server
from bench.stack import infrastructure, processes, produce
from deploy.local.supervise import running
from detector.images import decode
from streams import lake, replays
from streams.reevaluation import ReplayRequested, State
from streams.replay_requests import change, request
from streams.settings import Settings
from streams.store import Store
from streams.topics import DETECT_GROUP, UPLOADED

SCENES = 24
IMAGES = int(os.environ.get("IMAGES", "600"))
"""In a round; each scene comes many times, as an image of its own."""
ROUNDS = 5
LIVE_S, WARM_S = float(os.environ.get("SECONDS", "30")), 5.0
"""Of a round with live images, and of that at its beginning what is not counted."""
LIVE_ROUNDS = 4
SHARE = 0.5
CAPACITY_S = 5.0
AT_ONCE = 16
SLOWEST_S = 300.0
WORKERS = int(os.environ.get("WORKERS", os.cpu_count() or 1))
"""Of the model server, and processes of the detector alone: fewer than cores leave the others to all else."""
VERSION = "2"
REPLAY, BARE = "replay, from its first to its last detection", f"detector in a loop, {WORKERS} processes"
ALONE, DURING = "upload to queryable, no replay", "upload to queryable, a replay runs"


@dataclass(slots=True)
class Live:
    """What uploads waited until they were answered with their circles; replayed: images meanwhile."""

    took_ms: list[float] = field(default_factory=list)
    failed: int = 0
    replayed: int = 0


def run(say: Say) -> list[Figure]:
    say(f"rendering {SCENES} scenes")
    photographs = [events.photograph(seed) for seed in range(SCENES)]
    with infrastructure() as settings:
        files = asyncio.run(_store(settings, photographs))
        with stages(settings, "materializer", "replayer") as pids:
            replayer = psutil.Process(pids["replayer"])
            spent: list[float] = []
            with _pool() as bare:
                say("warming up")
                through_replay(settings, files, photographs, replayer, [])
                bare(files)
                cases: dict[str, Callable[[], float]] = {
                    REPLAY: partial(through_replay, settings, files, photographs, replayer, spent),
                    BARE: partial(bare, files),
                }
                rates = interleaved(ROUNDS, cases, say)
            model = psutil.Process(pids["model"])
            url = f"{settings.model_server_url}/v2/models/circles/versions/{VERSION}/infer"
            limit = load(encoded(url, photographs), model, seconds=CAPACITY_S, connections=4 * WORKERS)
        capacity, found = live(settings, files, photographs, limit.requests_per_s, say)
    return [
        *(median(name, "images/s", each) for name, each in rates.items()),
        ratio(REPLAY, rates[REPLAY], rates[BARE], BARE),
        median("replayer's CPU", "ms an image", spent),
        median("the model server", "images/s", [limit.requests_per_s]),
        median(f"uploads with their circles, {AT_ONCE} at once", "images/s", [capacity]),
        *_of_live(found),
    ]


def through_replay(
    settings: Settings,
    files: list[str],
    photographs: list[bytes],
    replayer: psutil.Process,
    spent: list[float],
) -> float:
    """Images a second of a replay of new images; the replayer's CPU an image goes into `spent`."""
    ids = put(settings, files, photographs, IMAGES)
    cpu = sum(replayer.cpu_times()[:2])
    replay, _ = request(settings, "circles", VERSION, by="bench", images=tuple(ids))
    with lake.connect(settings, read_only=True) as view:
        _until(lambda: _state(view, replay) == "finished")
        rows = view.execute(
            "SELECT count(*), epoch(min(detected_at)), epoch(max(detected_at)) FROM lake.detections"
            " WHERE replay_id = ?",
            [replay.replay_id],
        ).fetchall()
    ((count, first, last),) = rows
    assert count == IMAGES, f"{count} of {IMAGES} images have a detection"
    spent.append(1000 * (sum(replayer.cpu_times()[:2]) - cpu) / IMAGES)
    return float((count - 1) / (last - first))


def live(
    settings: Settings, files: list[str], photographs: list[bytes], model_rate: float, say: Say
) -> tuple[float, dict[str, list[Live]]]:
    """How many live images a second all stages can do, and SHARE of it alone and while a replay runs.

    model_rate: images/s of the model server, as no replay is faster.
    """
    say("images to be replayed meanwhile")
    at_most = model_rate * (WARM_S + LIVE_S + 15) * LIVE_ROUNDS
    put(settings, files, photographs, int(at_most))
    _skip_what_is_there(settings)
    with (
        stages(settings, "materializer", "replayer", "worker", "api"),
        lake.connect(settings, read_only=True) as view,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        url = f"{settings.api_url}/images/"
        say("warming up")
        for _ in range(2):
            capacity = runner.run(_capacity(url, photographs))
        uploads = partial(_uploads, url, photographs, rate := SHARE * capacity)
        say(f"{capacity:.0f} images/s are the most; {rate:.0f} from here on")
        runner.run(uploads())
        replay, _ = request(settings, "circles", VERSION, by="bench")
        _told(settings, view, replay, "paused")

        def during() -> Live:
            _told(settings, view, replay, "running")
            before = replays.progress(view, replay)
            _until(lambda: replays.progress(view, replay).detected > before.detected + 20)
            before = replays.progress(view, replay)
            found = runner.run(uploads())
            after = replays.progress(view, replay)
            assert after.left, "the replay came to its end: what was measured was not one that runs"
            found.replayed = after.detected - before.detected
            _told(settings, view, replay, "paused")
            time.sleep(2)
            return found

        return capacity, interleaved(LIVE_ROUNDS, {ALONE: lambda: runner.run(uploads()), DURING: during}, say)


@contextmanager
def stages(settings: Settings, *names: str) -> Iterator[dict[str, int]]:
    """A model server and processes of the project while the block runs; their ids."""
    server = model_server(int(settings.model_server_url.rpartition(":")[2]), WORKERS)
    with running(settings.data_dir / "logs", server) as model, processes(settings, *names) as others:
        yield model.pids() | others.pids()


def put(settings: Settings, files: list[str], photographs: list[bytes], count: int) -> list[UUID]:
    """New images on the log; their ids."""
    ids = [uuids.uuid7() for _ in range(count)]
    numbers = itertools.cycle(range(SCENES))
    produce(
        settings,
        UPLOADED,
        (
            events.uploaded(i, Path(files[n]).as_uri(), photographs[n])
            for i, n in zip(ids, numbers, strict=False)
        ),
    )
    return ids


async def _capacity(url: str, photographs: list[bytes]) -> float:
    """Uploads a second that are answered with their circles, AT_ONCE at once."""
    done, until = 0, time.monotonic() + CAPACITY_S
    async with aiohttp.ClientSession() as session:

        async def one_after_the_other() -> None:
            nonlocal done
            while time.monotonic() < until:
                async with session.post(url, data=_form(photographs[done % SCENES])) as answer:
                    assert (await answer.json())["detection"], "an upload got no circles in time"
                done += 1

        began = time.monotonic()
        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
        return done / (time.monotonic() - began)


def _form(photograph: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", events.distinct(photograph), filename="a.jpg")
    return form


async def _uploads(url: str, photographs: list[bytes], rate: float) -> Live:
    """Upload evenly, whatever comes back."""
    found = Live()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(photograph: bytes, counts: bool) -> None:
            began = time.perf_counter()
            async with session.post(url, data=_form(photograph)) as answer:
                told = await answer.json()
            if counts:  # also what got no circles in time, which took at least so long
                found.took_ms.append((time.perf_counter() - began) * 1000)
                found.failed += not (answer.status == 201 and told["detection"])

        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * (WARM_S + LIVE_S))):
                await asyncio.sleep(began + number / rate - loop.time())
                group.create_task(one(photographs[number % SCENES], number >= rate * WARM_S))
    return found


def _of_live(found: dict[str, list[Live]]) -> list[Figure]:
    figures = []
    p99: dict[str, list[float]] = {}
    for name, rounds in found.items():
        took = [each.took_ms for each in rounds]
        figures += [percentile(name, "ms", percent, took) for percent in (50, 99)]
        figures.append(
            median(f"{name}: without an answer in time", "images", [each.failed for each in rounds])
        )
        p99[name] = [percentile(name, "ms", 99, [each]).value for each in took]
    return [
        *figures,
        median(
            "replayed meanwhile", "images/s", [each.replayed / (LIVE_S + WARM_S) for each in found[DURING]]
        ),
        ratio("p99 of uploads while a replay runs", p99[DURING], p99[ALONE], "without"),
    ]


@contextmanager
def _pool() -> Iterator[Callable[[list[str]], float]]:
    """The detector in a loop over IMAGES of the files, in WORKERS processes; images a second."""
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:

        def bare(files: list[str]) -> float:
            chosen = list(itertools.islice(itertools.cycle(files), IMAGES))
            began = time.perf_counter()
            for done in [pool.submit(_look, chosen[n::WORKERS]) for n in range(WORKERS)]:
                done.result()
            return IMAGES / (time.perf_counter() - began)

        yield bare


def _look(files: list[str]) -> None:
    cv2.setNumThreads(1)  # as in the model server
    for file in files:
        detector.detect(decode(Path(file).read_bytes()))


async def _store(settings: Settings, photographs: list[bytes]) -> list[str]:
    store = Store(settings.objects_url, 10_000_000)
    uris = [await store.put(f"scene-{n}.jpg", data) for n, data in enumerate(photographs)]
    return [uri.removeprefix("file://") for uri in uris]


def _skip_what_is_there(settings: Settings) -> None:
    """Let the worker begin behind the images that are on the log."""
    servers = {"bootstrap.servers": settings.kafka_bootstrap_servers}
    consumer = Consumer(servers | {"group.id": DETECT_GROUP})
    places = [TopicPartition(UPLOADED.name, n) for n in range(settings.topic_partitions)]
    ends = [TopicPartition(p.topic, p.partition, consumer.get_watermark_offsets(p)[1]) for p in places]
    consumer.commit(offsets=ends, asynchronous=False)
    consumer.close()


def _told(settings: Settings, view: duckdb.DuckDBPyConnection, replay: ReplayRequested, state: State) -> None:
    """Bring a replay to a state, and return when it is there."""
    _until(lambda: any(each.requested.replay_id == replay.replay_id for each in replays.find(view)))
    now = next(each for each in replays.find(view) if each.requested.replay_id == replay.replay_id)
    change(settings, now, state, by="bench")
    _until(lambda: _state(view, replay) == state)


def _state(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> str:
    return next((r.state for r in replays.find(view) if r.requested.replay_id == replay.replay_id), "")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SLOWEST_S
    while not condition():
        assert time.monotonic() < deadline, f"it did not come within {SLOWEST_S:.0f} s"
        time.sleep(1)  # a look at the view costs as much as three images
