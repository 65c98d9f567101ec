"""A rebuild beside the fold of the same log: events a second, and what comparing and switching add."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import psutil

from bench import events
from bench.measure import Figure, Say, median, ratio
from bench.stack import fresh_view, infrastructure, processes, produce_encoded
from streams import generations, lake
from streams.ledger import Ledger
from streams.rebuild import building
from streams.settings import Settings
from streams.topics import DETECTED

EVENTS = 1_000_000
ROUNDS = 3
SLOWEST_S = 600
FOLD, REBUILD = "fold by the materializer", "rebuild, until level"


class Took(NamedTuple):
    """Seconds of the clock, and of the processor."""

    clock: float
    cpu: float


class Rebuilt(NamedTuple):
    follow: Took
    compare_s: float
    switch_s: float


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings:
        say(f"producing {EVENTS:,} events of {events.CIRCLES} circles")
        produce_encoded(settings, DETECTED, events.encoded(EVENTS))
        took = list(rounds(settings, say))
    fold = [EVENTS / folded.clock for folded, _ in took]
    rebuild = [EVENTS / rebuilt.follow.clock for _, rebuilt in took]
    fold_cpu = [folded.cpu / EVENTS * 1e6 for folded, _ in took]
    rebuild_cpu = [rebuilt.follow.cpu / EVENTS * 1e6 for _, rebuilt in took]
    return [
        median(FOLD, "events/s", fold),
        median(REBUILD, "events/s", rebuild),
        ratio("rebuild", rebuild, fold, FOLD),
        median(f"{FOLD}, CPU", "us/event", fold_cpu),
        median(f"{REBUILD}, CPU", "us/event", rebuild_cpu),
        ratio("rebuild, CPU", rebuild_cpu, fold_cpu, f"{FOLD}, CPU"),
        median("compare", "objects/s", [EVENTS * events.CIRCLES / each.compare_s for _, each in took]),
        median("switch", "s", [each.switch_s for _, each in took]),
    ]


def rounds(settings: Settings, say: Say) -> Iterator[tuple[Took, Rebuilt]]:
    """A view is folded and ended; then it is rebuilt, each in a process of its own."""
    for number in range(ROUNDS):
        own = fresh_view(settings)
        say(f"round {number + 1} of {ROUNDS}: {FOLD}")
        folded = fold(own)
        say(f"round {number + 1} of {ROUNDS}: {REBUILD}")
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            yield folded, process.submit(rebuilt, own).result()


def rebuilt(settings: Settings) -> Rebuilt:
    """A view that has to be equal takes the place of the live one, which is dropped."""
    with building(settings) as view:
        began, used = time.perf_counter(), time.process_time()
        view.follow(lambda _done, _total: None)
        level = time.perf_counter()
        follow = Took(level - began, time.process_time() - used)
        compared = view.compare()
        same = time.perf_counter()
        view.switch(lambda _done, _total: None)
        switched = time.perf_counter()
    assert all(each.difference is None for each in compared), compared
    objects = next(each for each in compared if each.table == "objects")
    assert objects.fresh.rows == EVENTS * events.CIRCLES, objects
    generations.drop(settings, view.live)
    return Rebuilt(follow, same - level, switched - same)


def fold(settings: Settings) -> Took:
    """Of a materializer in its process, from its first read to its last commit."""
    with processes(settings, "materializer") as supervisor, lake.catalog(settings) as catalog:
        ledger = Ledger(catalog, lake.live(settings))
        process = psutil.Process(supervisor.pids()["materializer"])
        began = (settings.data_dir / "materializer.ready").stat().st_mtime  # touched when reading begins
        used = sum(process.cpu_times()[:2])
        while (folded := sum(ledger.stored().values())) < EVENTS:
            assert time.time() - began < SLOWEST_S, f"{folded} of {EVENTS} events folded"
            time.sleep(0.01)
        return Took(time.time() - began, sum(process.cpu_times()[:2]) - used)
