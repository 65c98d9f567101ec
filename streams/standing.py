"""How far all stages are, by Kafka and the catalog: what `circles status` and the API's /status show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import psycopg
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from streams import hygiene, lake, ledger, progress, promotions, watermarks
from streams.lag import Report, Stage, notes, oldest, sentence
from streams.ledger import Offsets
from streams.model import KServeModel
from streams.progress import Position
from streams.settings import Settings
from streams.topics import DETECT_GROUP, TOPICS, UPLOADED, VIEW_GROUP
from streams.version import Version

WAIT_S = 3.0
"""For an answer of Kafka's, or the model server's."""


def look(settings: Settings) -> tuple[Report, list[str]]:
    """How far everything is, and what is to be said of it: who is behind, what will not mend, what is lost.

    Raises ValueError when Kafka or PostgreSQL is away, duckdb.Error when the view cannot be read.
    """
    kafka = progress.consumer(settings)
    try:
        # The view after the log: it then has the outcomes of all that was committed before.
        seen = progress.look(kafka, WAIT_S)
        members = progress.members(settings, [DETECT_GROUP, VIEW_GROUP], WAIT_S)
        view = _view(settings)
        uploads = progress.positions(seen, [UPLOADED.name], seen.detected)
        everything = progress.positions(seen, [topic.name for topic in TOPICS], view.folded)
        uploads, everything = (progress.dated(kafka, p, WAIT_S) for p in (uploads, everything))
        report = Report(
            datetime.now(UTC),
            Stage("detect", "image", DETECT_GROUP, members[DETECT_GROUP], uploads),
            Stage("materialize", "message", VIEW_GROUP, members[VIEW_GROUP], everything),
            view.watermarks,
            view.last_commit,
        )
        return report, [
            sentence(report),
            *notes(report),
            *hygiene.check(settings),
            *_unmended(settings, view),
        ]
    except (KafkaException, KafkaError, TimeoutError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else type(error).__name__
        raise ValueError(f"no answer of Kafka's at {settings.kafka_bootstrap_servers}: {reason}") from error
    except psycopg.OperationalError as error:
        reason = lake.without_password(str(error)).splitlines()[0]
        raise ValueError(f"no answer of PostgreSQL's at CATALOG_URL: {reason}") from error
    finally:
        kafka.close()


class _View(NamedTuple):
    """What is asked of the view. current: the version that was promoted last."""

    folded: Offsets
    watermarks: dict[int, int]
    last_commit: datetime | None
    dead_letters: int
    current: Version | None


def _unmended(settings: Settings, view: _View) -> Iterator[str]:
    """Dead letters that are open, and a model server that has not what images wait for."""
    if view.dead_letters:
        are = "1 dead letter is" if view.dead_letters == 1 else f"{view.dead_letters:,} dead letters are"
        yield f"{are} open: `circles dead-letters list` says why, `retry` sends again what is mended"
    if settings.mode == "real" and settings.model_server_url:
        version = view.current or Version(settings.model_name, settings.model_version)
        if not asyncio.run(_is_served(settings, version)):
            where = lake.without_password(settings.model_server_url)
            yield f"the model server at {where} has no {version}, or does not answer: images wait for it"


async def _is_served(settings: Settings, version: Version) -> bool:
    asked = {"model_name": version.name, "model_version": version.version, "model_service_timeout": WAIT_S}
    async with KServeModel(settings.model_copy(update=asked)) as model:
        return await model.ready()


def _view(settings: Settings) -> _View:
    with lake.catalog(settings) as catalog:
        generation = ledger.live(catalog)
        if generation is None:
            return _View({}, {}, None, 0, None)
        kept = ledger.Ledger(catalog, generation)
        with lake.connect(settings, read_only=True, generation=generation) as view:
            folded = kept.stored()
            found, version = watermarks.current(view, kept), promotions.newest(view)
            ((dead_letters,),) = view.execute(lake.STATEMENTS["open_dead_letters"]).fetchall()
        return _View(folded, found, kept.last_commit(), dead_letters, version)


def facts(report: Report, stage: Stage, positions: Sequence[Position]) -> dict[str, Any]:
    """The numbers of some of a stage's partitions together; the watermark is the view's, of the uploads."""
    lag, since = sum(p.lag for p in positions), oldest(positions)
    waits = 0.0 if lag == 0 else None if since is None else max((report.at - since).total_seconds(), 0)
    found: dict[str, Any] = {"log_end": sum(p.end for p in positions), "done": sum(p.done for p in positions)}
    if stage is report.materialize and report.watermarks and {p.topic for p in positions} == {UPLOADED.name}:
        found["watermark"] = sum(report.watermarks.get(p.partition, p.begin) for p in positions)
    return found | {"lag": lag, "oldest_waits_s": waits}


def as_object(report: Report, said: Sequence[str]) -> dict[str, Any]:
    """The report for machines: stages, their topics, and of these the partitions, each with its numbers."""
    stages = []
    for stage in report.stages:
        topics = []
        for topic, positions in by_topic(stage.positions):
            each = [
                {"partition": p.partition, "log_begin": p.begin} | facts(report, stage, [p])
                for p in positions
            ]
            topics.append({"topic": topic} | facts(report, stage, positions) | {"partitions": each})
        stages.append(
            {"stage": stage.name, "group": stage.group, "members": stage.members}
            | facts(report, stage, stage.positions)
            | {"topics": topics}
        )
    return {"at": report.at, "last_commit": report.last_commit, "said": said, "stages": stages}


def by_topic(positions: Sequence[Position]) -> Iterator[tuple[str, list[Position]]]:
    """Positions by their topic, in their order."""
    for topic, group in groupby(positions, key=lambda position: position.topic):
        yield topic, list(group)
