"""Replays: images a second, against the detector alone.

The images are JPEGs in a folder, of 640 x 480 or SIZE=WIDTHxHEIGHT, on the log already when a replay looks at
them. The detector alone reads, decodes and detects the same files, in as many processes as the model server
has workers.
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
from functools import partial
from pathlib import Path
from uuid import UUID

import cv2
import duckdb
import psutil
import uuid_utils.compat as uuids

import detector
from bench import events
from bench.load import load
from bench.measure import Figure, Say, interleaved, median, ratio
from bench.server import encoded, model_server
from bench.stack import infrastructure, processes, produce
from deploy.local.supervise import running
from detector.images import decode
from detector.serving.memory import keep_buffers
from streams import lake, replays
from streams.reevaluation import ReplayRequested
from streams.replay_requests import request
from streams.settings import Settings
from streams.store import Store
from streams.topics import UPLOADED

SCENES = 24
WIDTH, HEIGHT = map(int, os.environ.get("SIZE", "640x480").split("x"))
"""Of an image."""
IMAGES = int(os.environ.get("IMAGES", "1200"))
"""In a round; each scene comes many times, as an image of its own."""
ROUNDS = 5
CAPACITY_S = 5.0
SLOWEST_S = 300.0
LOOK_S = 4.0
"""Between looks at the view while images are counted: one costs as much as three of them."""
WORKERS = int(os.environ.get("WORKERS", os.cpu_count() or 1))
"""Of the model server, and processes of the detector alone: fewer than cores leave the others to all else."""
VERSION = "2"
REPLAY, BARE = "replay, from its first to its last detection", f"detector in a loop, {WORKERS} processes"


def run(say: Say) -> list[Figure]:
    say(f"rendering {SCENES} scenes")
    photographs = [events.photograph(seed, WIDTH, HEIGHT) for seed in range(SCENES)]
    with infrastructure() as settings:
        files = asyncio.run(stored(settings, photographs))
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
    return [
        *(median(name, "images/s", each) for name, each in rates.items()),
        ratio(REPLAY, rates[REPLAY], rates[BARE], BARE),
        median("replayer's CPU", "ms an image", spent),
        median("the model server", "images/s", [limit.requests_per_s]),
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
        until(lambda: state_of(view, replay) == "finished", LOOK_S)
        rows = view.execute(
            "SELECT count(*), epoch(min(detected_at)), epoch(max(detected_at)) FROM lake.detections"
            " WHERE replay_id = ?",
            [replay.replay_id],
        ).fetchall()
    ((count, first, last),) = rows
    assert count == IMAGES, f"{count} of {IMAGES} images have a detection"
    spent.append(1000 * (sum(replayer.cpu_times()[:2]) - cpu) / IMAGES)
    return float((count - 1) / (last - first))


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


@contextmanager
def _pool() -> Iterator[Callable[[list[str]], float]]:
    """The detector in a loop over IMAGES of the files, in WORKERS processes; images a second."""
    # It keeps its memory as the model server does: a loop that maps its buffers anew is slower.
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"), keep_buffers) as pool:

        def bare(files: list[str]) -> float:
            chosen = list(itertools.islice(itertools.cycle(files), IMAGES))
            began = time.perf_counter()
            # A few at a time to whoever is free: scenes take unequally long.
            for _ in pool.map(_look, (chosen[n : n + 5] for n in range(0, IMAGES, 5))):
                pass
            return IMAGES / (time.perf_counter() - began)

        yield bare


def _look(files: list[str]) -> None:
    cv2.setNumThreads(1)  # as in the model server
    for file in files:
        detector.detect(decode(Path(file).read_bytes()))


async def stored(settings: Settings, photographs: list[bytes]) -> list[str]:
    store = Store(settings.objects_url, 10_000_000)
    uris = [await store.put(f"scene-{n}.jpg", data) for n, data in enumerate(photographs)]
    return [uri.removeprefix("file://") for uri in uris]


def state_of(view: duckdb.DuckDBPyConnection, replay: ReplayRequested) -> str:
    return next((r.state for r in replays.find(view) if r.requested.replay_id == replay.replay_id), "")


def until(condition: Callable[[], bool], look_s: float = 1.0) -> None:
    deadline = time.monotonic() + SLOWEST_S
    while not condition():
        assert time.monotonic() < deadline, f"it did not come within {SLOWEST_S:.0f} s"
        time.sleep(look_s)
