"""Catching up on a long backlog: events a second, and the most memory that the materializer takes."""

from __future__ import annotations

import time

import psutil

from bench import events
from bench.measure import Figure, Say, median
from bench.stack import infrastructure, processes, produce_encoded
from streams import lake
from streams.ledger import Ledger
from streams.topics import DETECTED

EVENTS = 5_000_000
MOST_S = 1800


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings:
        say(f"producing {EVENTS:,} events of {events.CIRCLES} circles")
        produce_encoded(settings, DETECTED, events.encoded(EVENTS))
        peak, told = 0, 0.0
        with processes(settings, "materializer") as running, lake.catalog(settings) as catalog:
            process = psutil.Process(running.pids()["materializer"])
            ledger = Ledger(catalog, lake.live(settings))
            began = (settings.data_dir / "materializer.ready").stat().st_mtime
            while (folded := sum(ledger.stored().values())) < EVENTS:
                took = time.time() - began
                assert took < MOST_S, f"{folded:,} events folded in {took:.0f} s"
                peak = max(peak, process.memory_info().rss)
                if took > told + 20:
                    told = took
                    say(f"{folded:,} folded, {peak / 2**20:.0f} MB at most")
                time.sleep(0.05)
            took = time.time() - began
    return [
        median(f"{EVENTS:,} events", "events/s", [EVENTS / took]),
        median("memory at most", "MB", [peak / 2**20]),
    ]
