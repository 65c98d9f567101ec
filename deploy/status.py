"""The command `circles status`: how far each stage is, which one is behind, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from deploy.terminal import console
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.lag import Report, Stage
    from streams.progress import Position


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

    from streams.standing import as_object, look

    settings = Settings.load()
    settings.require("kafka_bootstrap_servers", "catalog_url")
    report, said = look(settings)
    if as_json:
        typer.echo(orjson.dumps(as_object(report, said)))
        return
    console.print(as_table(report, partitions=partitions))
    for line in said:
        console.print(line, soft_wrap=True)


def as_table(report: Report, *, partitions: bool) -> Table:
    """A row for each stage and topic, before it one for each partition; behind several topics their sum."""
    from streams.standing import by_topic

    names = ("log end", "done", "watermark", "lag", "oldest waits")
    table = Table("stage", "topic", *(Column(name, justify="right") for name in names))
    for stage in report.stages:
        topics = list(by_topic(stage.positions))
        for topic, positions in topics:
            for p in positions if partitions else ():
                table.add_row(stage.name, f"{topic}[{p.partition}]", *_cells(report, stage, [p]))
            table.add_row(stage.name, topic, *_cells(report, stage, positions))
        if len(topics) > 1:
            table.add_row(stage.name, "all", *_cells(report, stage, stage.positions))
        table.add_section()
    return table


def _cells(report: Report, stage: Stage, positions: Sequence[Position]) -> list[str]:
    from streams.lag import span
    from streams.standing import facts

    found = facts(report, stage, positions)
    numbers = [found.get(name) for name in ("log_end", "done", "watermark", "lag")]
    waits = found["oldest_waits_s"]
    return [*("" if n is None else f"{n:,}" for n in numbers), "" if waits is None else span(waits)]
