"""The fold at its default settings beside others that fold the same events, each in processes of its own."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb

from bench import events
from bench.fold import CONSUME, DECODE, consume, decode, fold
from bench.measure import Figure, Say, interleaved, median, ratio
from bench.stack import infrastructure, produce_encoded
from deploy.local.environment import interpreter
from deploy.local.service import Service
from deploy.local.supervise import running
from streams.codec import Codec
from streams.lake import STATEMENTS
from streams.settings import Settings
from streams.topics import DETECTED

PARTITIONS = 4
EVENTS, FEWER = 200_000, 60_000
"""Folded by all; by the slowest, whose rate over its second half is shown beside the whole's."""
MORE = 20_000
"""Produced beyond what is measured, so that nobody's last batch waits to be filled."""
ROUNDS = 3
SLOWEST_S = 180
FOLD, QUIX, FAUST = "fold", "Quix Streams", "plain Faust agent"
HELD = """
SELECT (SELECT count(*) FROM detections), (SELECT count(DISTINCT image_id) FROM detections),
       (SELECT count(*) FROM objects), (SELECT count(DISTINCT object_id) FROM objects)"""


class Mark(NamedTuple):
    """How many events were committed at a time, in seconds since 1970."""

    at: float
    events: int


class Rates(NamedTuple):
    """Events a second: of a whole run, and, of peers only, from its middle on."""

    whole: float
    second_half: float = math.nan


def run(say: Say) -> list[Figure]:
    say("the peers' environment, made once (a minute)")
    quix = interpreter("peers", Path(__file__).with_name("requirements.lock"))
    with infrastructure(PARTITIONS) as settings:
        say(f"producing {EVENTS + MORE:,} events of {events.CIRCLES} circles")
        produce_encoded(settings, DETECTED, events.encoded(EVENTS + MORE))
        codec = Codec()
        cases: dict[str, Callable[[], Rates]] = {
            CONSUME: lambda: Rates(consume(settings, lambda _: None, 3, EVENTS).events_per_s),
            DECODE: lambda: Rates(consume(settings, partial(decode, codec), 1, EVENTS).events_per_s),
            FOLD: lambda: Rates(fold(settings, settings.fold_batch_size, EVENTS).events_per_s),
            QUIX: partial(peer, settings, quix, "bench.peers.quix", EVENTS),
            FAUST: partial(peer, settings, Path(sys.executable), "bench.peers.faust_agent", FEWER),
        }
        found = interleaved(ROUNDS, cases, say)
    rates = {name: [each.whole for each in rounds] for name, rounds in found.items()}
    figures = [median(name, "events/s", values) for name, values in rates.items()]
    figures += [
        ratio(f"{name}: second half", [each.second_half for each in found[name]], rates[name], name)
        for name in (QUIX, FAUST)
    ]
    return figures + [ratio(FOLD, rates[FOLD], rates[other], other) for other in (QUIX, FAUST, DECODE)]


def peer(settings: Settings, python: Path, module: str, enough: int) -> Rates:
    """A peer in its process, from its first message until so many events are committed.

    Raises AssertionError when it does not get there, or wrote other rows than it should have.
    """
    with TemporaryDirectory(dir=settings.data_dir, prefix="peer-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        file, marks = folder / "view.duckdb", folder / "marks"
        create(file)
        told = settings.kafka_bootstrap_servers, DETECTED.name, str(file), str(marks)

        async def prepare() -> list[str]:
            return [str(python), "-m", module, *told]

        async def ready() -> bool:
            return bool(read(marks))

        with running(folder, Service(module, prepare, ready, stop_grace_s=12)):
            while (newest := read(marks)[-1]).events < enough:
                assert time.time() - newest.at < SLOWEST_S, f"{module} stopped at {newest.events} events"
                time.sleep(0.05)
        found = read(marks)
        check(file, found[-1].events)
        return rates(found, enough)


def create(file: Path) -> None:
    """A .duckdb file with the view's tables, empty."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS lake")
        connection.execute(STATEMENTS["create_tables"])


def check(file: Path, folded: int) -> None:
    """Raise AssertionError unless the file holds each row of so many events, once."""
    with duckdb.connect(str(file)) as view:
        (held,) = view.execute(HELD).fetchall()
    expected = (folded, folded, folded * events.CIRCLES, folded * events.CIRCLES)
    assert held == expected, f"detections, their images, objects, their ids are {held}, not {expected}"


def read(marks: Path) -> list[Mark]:
    """The marks of a peer so far; none before its first message."""
    lines = marks.read_text().splitlines(keepends=True) if marks.exists() else []
    # The last may be written just now.
    fields = [line.split() for line in lines if line.endswith("\n")]
    return [Mark(float(at), int(count)) for at, count in fields]


def rates(marks: list[Mark], enough: int) -> Rates:
    """From the first message to the first commit with so many events."""
    first, last = marks[0], next(mark for mark in marks if mark.events >= enough)
    middle = next(mark for mark in marks if mark.events >= last.events / 2)
    return Rates(_per_s(first, last), _per_s(middle, last))


def _per_s(begin: Mark, end: Mark) -> float:
    return (end.events - begin.events) / (end.at - begin.at)
