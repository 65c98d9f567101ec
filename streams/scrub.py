"""Whether the view is what was written: its files against the manifest, its offsets against the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from confluent_kafka import Consumer, TopicPartition
from obstore.exceptions import BaseError
from psycopg.sql import SQL, Identifier

from streams import manifest, partitions
from streams.ledger import Ledger, Offsets
from streams.settings import Settings
from streams.statements import read_statements
from streams.topics import TOPICS

AT_ONCE = 4
"""Files that are read at the same time, a piece of each in memory."""
WAIT_S = 10.0
STATEMENTS = read_statements("streams", "scrub.sql")


@dataclass(frozen=True, slots=True)
class Written:
    """A file of the view as it was written. path: in the generation's folder; size and digest None: unknown.

    first, last: the least and the greatest key of its rows (of an image, else of a dead letter).
    """

    path: str
    table: str
    rows: int
    size_bytes: int | None
    sha256: str | None
    first: str | None
    last: str | None

    def holds(self) -> str:
        """Its rows in words, with the time that UUIDv7 keys tell."""
        keys = [UUID(key) for key in (self.first, self.last) if key]
        what = f"{self.rows:,} rows of {self.table}"
        if keys:
            what += f", {keys[0]} to {keys[-1]}"
        if keys and all(key.version == 7 for key in keys):
            first, last = (datetime.fromtimestamp((key.int >> 80) / 1000, UTC) for key in (keys[0], keys[-1]))
            what += f", made {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
        return what


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of the view that is not what was written, and why."""

    file: Written
    reason: str


def files(catalog: psycopg.Connection[Any], generation: str) -> list[Written]:
    """All files of a generation, those of deleted rows too."""
    asked = SQL(STATEMENTS["files"]).format(generation=Identifier(generation))
    return [Written(*row) for row in catalog.execute(asked, {"generation": generation}).fetchall()]


def damage(folder: str, file: Written) -> Damage | None:
    """What is wrong with a file, all of which is read, a piece at a time."""
    try:
        size_bytes, sha256 = manifest.digest(f"{folder}/{file.path}")
    except FileNotFoundError:
        return Damage(file, "it is missing")
    except (OSError, BaseError) as error:
        return Damage(file, "it cannot be read: " + str(error).partition("\n")[0])
    if file.size_bytes is None or file.sha256 is None:
        return Damage(file, "it is not in the manifest, so nobody knows what it should be")
    if size_bytes != file.size_bytes:
        return Damage(file, f"it has {size_bytes:,} bytes, {file.size_bytes:,} were written")
    if sha256 != file.sha256:
        return Damage(file, f"its SHA-256 is {sha256}, {file.sha256} was written")
    return None


def scrubbed(
    catalog: psycopg.Connection[Any], generation: str, folder: str, listed: list[Written]
) -> Iterator[tuple[Written, Damage | None]]:
    """Each of some files with what is wrong with it, as they are read, in their order."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        looks = threads.map(lambda file: damage(folder, file), listed)
        for file, found in zip(listed, looks, strict=True):
            # What was merged or deleted in the meantime need not be there any more.
            yield file, found if found and _still_named(catalog, generation, file) else None


def _still_named(catalog: psycopg.Connection[Any], generation: str, file: Written) -> bool:
    wanted = {"generation": generation, "name": file.path.rpartition("/")[2]}
    return bool(catalog.execute(STATEMENTS["still_named"], wanted).fetchall())


Watermarks = Mapping[tuple[str, int], tuple[int, int]]
"""By topic and partition: the first offset that the log holds, and the one behind its last."""


def contradictions(stored: Offsets, watermarks: Watermarks) -> list[str]:
    """Where a view that goes on at these offsets cannot be one of this log."""
    found = []
    for (topic, partition), at in sorted(stored.items()):
        place = f"{topic}[{partition}]"
        if (topic, partition) not in watermarks:
            found.append(f"{place} is not on the log, but the view has folded it up to {at:,}")
            continue
        low, high = watermarks[topic, partition]
        if at < low:
            found.append(f"{place} begins at {low:,}, but the view goes on at {at:,}: {low - at:,} are lost")
        elif at > high:
            found.append(f"{place} ends at {high:,}, but the view has folded it up to {at:,}")
    return found


def against_the_log(settings: Settings, ledger: Ledger) -> list[str]:
    """Where the catalog contradicts the log. Raises KafkaException when that does not answer."""
    ids, made_from = partitions.topic_ids(settings), ledger.topics()
    remade = [
        f"{topic} was deleted and made anew: its id is {ids[topic]}, the view is folded from {made}"
        for topic, made in made_from.items()
        if ids.get(topic) != made
    ]
    return remade + contradictions(ledger.stored(), watermarks(settings))


def watermarks(settings: Settings) -> Watermarks:
    """Of every partition that there is. Raises KafkaException."""
    servers = settings.kafka_bootstrap_servers
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "circles.scrub", "log_level": 0})
    try:
        found = {}
        for topic in TOPICS:
            for partition in consumer.list_topics(topic.name, timeout=WAIT_S).topics[topic.name].partitions:
                place = TopicPartition(topic.name, partition)
                found[topic.name, partition] = consumer.get_watermark_offsets(place, timeout=WAIT_S)
        return found
    finally:
        consumer.close()
