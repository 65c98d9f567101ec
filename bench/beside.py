"""What live images wait for their circles while a replay runs, against what they wait without.

They are uploaded at half the rate (SHARE) of what all stages together can do on this machine, which is less
than what the model server could.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import duckdb
import uvloop
from confluent_kafka import Consumer, TopicPartition

from bench import events
from bench.measure import Figure, Say, interleaved, median, percentile, ratio
from bench.replay import SCENES, VERSION, put, stages, state_of, stored, until
from bench.stack import infrastructure
from streams import lake, replays
from streams.reevaluation import ReplayRequested, State
from streams.replay_requests import change, request
from streams.settings import Settings
from streams.topics import DETECT_GROUP, UPLOADED

SECONDS, WARM_S = float(os.environ.get("SECONDS", "30")), 5.0
"""Of a round, and of that at its beginning what is not counted."""
ROUNDS = 4
SHARE = float(os.environ.get("SHARE", "0.5"))
"""Of what all stages can do."""
CAPACITY_S, AT_ONCE = 5.0, 16
AT_MOST = 200
"""Images a second that no replay comes to here."""
ALONE, DURING = "upload to queryable, no replay", "upload to queryable, a replay runs"


@dataclass(slots=True)
class Live:
    """What uploads waited until they were answered with their circles; replayed: images meanwhile."""

    took_ms: list[float] = field(default_factory=list)
    failed: int = 0
    replayed: int = 0


def run(say: Say) -> list[Figure]:
    photographs = [events.photograph(seed) for seed in range(SCENES)]
    with infrastructure() as settings:
        files = asyncio.run(stored(settings, photographs))
        capacity, found = live(settings, files, photographs, say)
    figures = [median(f"uploads with their circles, {AT_ONCE} at once", "images/s", [capacity])]
    p99: dict[str, list[float]] = {}
    for name, rounds in found.items():
        took = [each.took_ms for each in rounds]
        figures += [percentile(name, "ms", percent, took) for percent in (50, 99)]
        failed = [each.failed for each in rounds]
        figures.append(median(f"{name}: without an answer in time", "images", failed))
        p99[name] = [percentile(name, "ms", 99, [each]).value for each in took]
    replayed = [each.replayed / (SECONDS + WARM_S) for each in found[DURING]]
    figures.append(median("replayed meanwhile", "images/s", replayed))
    figures.append(ratio("p99 of uploads while a replay runs", p99[DURING], p99[ALONE], "without"))
    return figures


def live(
    settings: Settings, files: list[str], photographs: list[bytes], say: Say
) -> tuple[float, dict[str, list[Live]]]:
    """How many live images a second all stages can do, and SHARE of it alone and while a replay runs."""
    say("images to be replayed meanwhile")
    put(settings, files, photographs, int(AT_MOST * (WARM_S + SECONDS) * ROUNDS))
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
            until(lambda: replays.progress(view, replay).detected > before.detected + 20)
            before = replays.progress(view, replay)
            found = runner.run(uploads())
            after = replays.progress(view, replay)
            assert after.left, "the replay came to its end: what was measured was not one that runs"
            found.replayed = after.detected - before.detected
            _told(settings, view, replay, "paused")
            time.sleep(2)
            return found

        return capacity, interleaved(ROUNDS, {ALONE: lambda: runner.run(uploads()), DURING: during}, say)


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
            for number in range(int(rate * (WARM_S + SECONDS))):
                await asyncio.sleep(began + number / rate - loop.time())
                group.create_task(one(photographs[number % SCENES], number >= rate * WARM_S))
    return found


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
    until(lambda: any(each.requested.replay_id == replay.replay_id for each in replays.find(view)))
    now = next(each for each in replays.find(view) if each.requested.replay_id == replay.replay_id)
    change(settings, now, state, by="bench")
    until(lambda: state_of(view, replay) == state)
