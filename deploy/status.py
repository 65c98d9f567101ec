"""The command `circles status`: how far each stage is, which one is behind, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from deploy.terminal import console
from streams.settings import Settings

if TYPE_CHECKING:
    from deploy.lag import Report, Stage
    from streams.ledger import Offsets
    from streams.progress import Position

WAIT_S = 3.0
"""For an answer of Kafka's."""


def status(
    partitions: Annotated[bool, typer.Option("--partitions", help="A line for each partition, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, as one JSON object.")] = False,
) -> None:
    """Show how far each stage is, and say which is behind.

    For each stage and topic, summed over partitions: where the log ends, how far the stage is done, how
    many messages wait, and how long the oldest of them has. Every upload before the watermark is detected
    or failed. The exit status is 0 whenever this could be read, however far a stage is behind, and 1 when
    Kafka or PostgreSQL is away.
    """
    import orjson

    from deploy.lag import notes, sentence

    settings = Settings.load()
    settings.require("kafka_bootstrap_servers", "catalog_url")
    report, settings_of_topics = look(settings)
    said = [sentence(report), *notes(report), *settings_of_topics]
    if as_json:
        typer.echo(orjson.dumps(as_object(report, said)))
        return
    console.print(as_table(report, partitions=partitions))
    for line in said:
        console.print(line, soft_wrap=True)


def look(settings: Settings) -> tuple[Report, list[str]]:
    """How far everything is, and what the topics' own settings will delete.

    Raises ValueError when Kafka or PostgreSQL is away, duckdb.Error when the view cannot be read.
    """
    import psycopg
    from confluent_kafka import KafkaException

    from deploy.lag import Report, Stage
    from streams import hygiene, lake, progress
    from streams.topics import DETECT_GROUP, TOPICS, UPLOADED, VIEW_GROUP

    kafka = progress.consumer(settings)
    try:
        # The view after the log: it then has the outcomes of all that was committed before.
        seen = progress.look(kafka, WAIT_S)
        members = progress.members(settings, [DETECT_GROUP, VIEW_GROUP], WAIT_S)
        folded, watermarks, last_commit = _view(settings)
        uploads = progress.positions(seen, [UPLOADED.name], seen.detected)
        everything = progress.positions(seen, [topic.name for topic in TOPICS], folded)
        uploads, everything = (progress.dated(kafka, p, WAIT_S) for p in (uploads, everything))
        report = Report(
            datetime.now(UTC),
            Stage("detect", "image", DETECT_GROUP, members[DETECT_GROUP], uploads),
            Stage("materialize", "message", VIEW_GROUP, members[VIEW_GROUP], everything),
            watermarks,
            last_commit,
        )
        return report, hygiene.check(settings)
    except KafkaException as error:
        reason = error.args[0].str()
        raise ValueError(f"no answer of Kafka's at {settings.kafka_bootstrap_servers}: {reason}") from error
    except psycopg.OperationalError as error:
        reason = lake.without_password(str(error)).splitlines()[0]
        raise ValueError(f"no answer of PostgreSQL's at CATALOG_URL: {reason}") from error
    finally:
        kafka.close()


def _view(settings: Settings) -> tuple[Offsets, dict[int, int], datetime | None]:
    """The view's offsets, its watermarks and the time of its last commit; none of them without a view."""
    from streams import lake, ledger, watermarks

    with lake.catalog(settings) as catalog:
        generation = ledger.live(catalog)
        if generation is None:
            return {}, {}, None
        kept = ledger.Ledger(catalog, generation)
        with lake.connect(settings, read_only=True, generation=generation) as view:
            folded = kept.stored()
            found = watermarks.current(view, kept)
        return folded, found, kept.last_commit()


def as_table(report: Report, *, partitions: bool) -> Table:
    """A row for each stage and topic, before it one for each partition; behind several topics their sum."""
    names = ("log end", "done", "watermark", "lag", "oldest waits")
    table = Table("stage", "topic", *(Column(name, justify="right") for name in names))
    for stage in report.stages:
        topics = list(_by_topic(stage.positions))
        for topic, positions in topics:
            for p in positions if partitions else ():
                table.add_row(stage.name, f"{topic}[{p.partition}]", *_cells(report, stage, [p]))
            table.add_row(stage.name, topic, *_cells(report, stage, positions))
        if len(topics) > 1:
            table.add_row(stage.name, "all", *_cells(report, stage, stage.positions))
        table.add_section()
    return table


def _cells(report: Report, stage: Stage, positions: Sequence[Position]) -> list[str]:
    from deploy.lag import span

    found = facts(report, stage, positions)
    numbers = [found.get(name) for name in ("log_end", "done", "watermark", "lag")]
    waits = found["oldest_waits_s"]
    return [*("" if n is None else f"{n:,}" for n in numbers), "" if waits is None else span(waits)]


def facts(report: Report, stage: Stage, positions: Sequence[Position]) -> dict[str, Any]:
    """The numbers of some of a stage's partitions together; the watermark is the view's, of the uploads."""
    from deploy.lag import oldest
    from streams.topics import UPLOADED

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
        for topic, positions in _by_topic(stage.positions):
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


def _by_topic(positions: Sequence[Position]) -> Iterator[tuple[str, list[Position]]]:
    for topic, group in groupby(positions, key=lambda position: position.topic):
        yield topic, list(group)
