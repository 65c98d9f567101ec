"""Scrub: single bits flipped in data files, one at a time, and how fast files are read."""

from __future__ import annotations

import random
import time
from pathlib import Path

from bench import events
from bench.measure import Figure, Say, median
from bench.stack import fresh_view, infrastructure
from streams import lake
from streams.commit import View
from streams.ledger import Ledger
from streams.scrub import damage, files, scrubbed
from streams.topics import DETECTED

FLIPS, ROUNDS = 1_000, 5
COMMITS = (50, 200, 1_000, 5_000, 20_000)


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings:
        own = fresh_view(settings)
        generation, at, offset = lake.create(own), (DETECTED.name, 0), 0
        folder = Path(own.lake_path, generation)
        with lake.connect(own, read_only=False) as view, lake.catalog(own) as catalog:
            ledger = Ledger(catalog, generation)
            ledger.add({at: 0})
            writer = View(view, ledger, shared=False)
            for count in COMMITS:
                writer.commit(events.batch(count), {at: offset}, {at: offset + count})
                offset += count
            listed = files(catalog, generation)
            say(f"flipping {FLIPS:,} bits in {len(listed)} files")
            chance, found = random.Random(1), 0
            for _ in range(FLIPS):
                file = chance.choice(listed)
                with (folder / file.path).open("r+b") as data:
                    place = chance.randrange((folder / file.path).stat().st_size)
                    data.seek(place)
                    (byte,) = data.read(1)
                    data.seek(place)
                    data.write(bytes([byte ^ 1 << chance.randrange(8)]))
                    data.flush()
                    bad = damage(str(folder), file)
                    found += bad is not None and bad.file.path == file.path and "SHA-256" in bad.reason
                    data.seek(place)
                    data.write(bytes([byte]))
            rates = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                assert not any(bad for _, bad in scrubbed(catalog, generation, str(folder), listed))
                rates.append(
                    sum(file.size_bytes or 0 for file in listed) / 1e6 / (time.perf_counter() - began)
                )
    return [
        Figure(f"found of {FLIPS:,} flipped bits, the file named", "", found, found, found, 1),
        median("read and compared", "MB/s", rates),
    ]
