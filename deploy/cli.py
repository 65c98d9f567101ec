"""The command `circles`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy import dead_letters, ground_truth, keys, promote, replay
from deploy.compare import compare
from deploy.evaluate import evaluate
from deploy.export import export
from deploy.find import find
from deploy.maintain import maintain
from deploy.rebuild import rebuild, views
from deploy.scrub import scrub
from deploy.status import status
from deploy.terminal import console, counted, failure, say_left
from streams.settings import Settings

# Each command imports what it needs when it runs: `circles --help` answers at once.

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.add_typer(dead_letters.commands, name="dead-letters")
cli.add_typer(keys.commands, name="keys")
cli.add_typer(replay.commands, name="replay")
cli.command()(promote.promote)
cli.command("promotions")(promote.list_)
cli.add_typer(ground_truth.commands, name="annotations")
cli.command()(find)
cli.command()(evaluate)
cli.command()(compare)
cli.command()(export)
cli.command()(maintain)
cli.command()(scrub)
cli.command()(status)
cli.command()(rebuild)
cli.add_typer(views, name="views")


@cli.command()
def up() -> None:
    """Start and supervise everything on this machine, until Ctrl-C."""
    _run_stack(demo=False, stay=True)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(version("circles"))
        raise typer.Exit


@cli.callback()
def about(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Images in, circles out: a streaming vision system on a message log."""


@cli.command()
def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Stop everything after the table.")] = False,
) -> None:
    """Start everything, send sample photographs and print what became of them; then stay up."""
    _run_stack(demo=True, stay=not leave)


@cli.command()
def send(
    paths: Annotated[list[str], typer.Argument(help="Files, folders (searched through) and glob patterns.")],
    source: Annotated[str, typer.Option(help="The camera or service they come from.")] = "",
    at_once: Annotated[int, typer.Option(min=1, max=16, help="Uploads under way at once.")] = 4,
) -> None:
    """Send images, and say what was accepted, refused (why) and is still under way."""
    import httpx

    from streams.ingest.send import find_files

    settings = Settings.load()
    settings.require("api_url")
    try:
        httpx.get(f"{settings.api_url}/health", timeout=10)
    except httpx.TransportError as error:
        raise ValueError(f"no API answers at {settings.api_url}: {error}") from error
    files, others = find_files(paths)
    say_left(others)
    raise typer.Exit(asyncio.run(_send(files, settings, source, at_once)))


@cli.command()
def sql(query: Annotated[str, typer.Argument(help='Like "select * from images limit 5".')]) -> None:
    """Run a read-only query over the view and print a table. Tables: images, detections, objects,
    annotations, annotated, failures, retries, unlisted, replays, replay_changes, not_replayed,
    promotions, offsets."""
    from duckdb import StatementType

    from streams import lake

    settings = Settings.load()
    with lake.connect(settings, read_only=True) as view:
        view.execute("USE lake")
        view.execute("CREATE TEMP VIEW offsets AS FROM memory.main.offsets")
        lake.lock(view, settings)
        statements = view.extract_statements(query)
        if not statements:
            raise ValueError('there is no query in that: try "select * from images limit 5"')
        if any(s.type not in (StatementType.SELECT, StatementType.EXPLAIN) for s in statements):
            raise ValueError("only queries are run here: SELECT, DESCRIBE, SHOW, EXPLAIN")
        result = view.execute(query)
        table = Table(*[column[0] for column in result.description])
        rows = result.fetchmany(1000)
        for row in rows:
            table.add_row(*["" if value is None else str(value) for value in row])
        more = bool(result.fetchmany(1))
    console.print(table)
    console.print(
        counted(len(rows), "row") + (", more were left out: add a LIMIT or aggregate" if more else "")
    )


@cli.command()
def topics(
    wait_s: Annotated[float, typer.Option("--wait", min=1, max=3600, help="Seconds to wait for Kafka.")] = 60,
) -> None:
    """Create the topics that are missing; those that exist are left as they are, and what their settings
    will delete is said."""
    from confluent_kafka import KafkaException

    from streams import hygiene
    from streams.topics import TOPICS, create

    settings = Settings.load()
    settings.require("kafka_bootstrap_servers")
    try:
        create(settings, wait_s=wait_s)
        findings = hygiene.check(settings)
    except KafkaException as error:
        reason = error.args[0].str()
        raise ValueError(f"no topics at {settings.kafka_bootstrap_servers}: {reason}") from error
    console.print("there are: " + ", ".join(topic.name for topic in TOPICS))
    for finding in findings:
        console.print(finding, soft_wrap=True)


@cli.command()
def settings() -> None:
    """List every setting, its value now and what it is for."""
    now = Settings.load()
    table = Table("environment variable", "value", "what it is for")
    for name, field in Settings.model_fields.items():
        table.add_row(field.alias or name.upper(), str(getattr(now, name)), field.description)
    console.print(table)


def main() -> None:
    """Run the command; an expected error is one line on standard error and exit status 1."""
    logging.getLogger("stamina").setLevel(logging.ERROR)  # it tells of each retry, not of what
    try:
        cli()
    except Exception as error:
        from deploy.expected import EXPECTED, said

        if not isinstance(error, EXPECTED):
            raise
        failure.print(said(error), soft_wrap=True)
        sys.exit(1)


def _run_stack(*, demo: bool, stay: bool) -> None:
    from deploy.demo import BEFORE
    from deploy.demo import show as show_demo
    from deploy.local.stack import up as run

    settings = Settings()
    if demo and not settings.model_version:
        settings = settings.model_copy(update={"model_version": BEFORE})

    async def ready(running: Settings) -> None:
        if demo:
            key = running.api_key.get_secret_value()
            await asyncio.to_thread(show_demo, running.api_url, console, key)
        if not stay:
            raise _Done
        console.print(f"\nEverything is up: {running.api_url}/   (Ctrl-C ends it)")

    try:
        asyncio.run(
            run(
                settings,
                on_ready=ready,
                say=lambda line: console.print(line, soft_wrap=True),
            )
        )
    except _Done:
        return


class _Done(Exception):
    """The demo was asked to leave."""


async def _send(files: list[Path], settings: Settings, source: str, at_once: int) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from streams.ingest.send import Sent, send

    sent: list[Sent] = []
    with Progress(
        "sending", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task("", total=len(files))
        key = settings.api_key.get_secret_value()
        async for one in send(files, settings.api_url, key=key, source=source, at_once=at_once):
            sent.append(one)
            bar.advance(task)
    states = Counter(one.state for one in sent)
    waiting = sum(one.state == "accepted" and one.circles is None for one in sent)
    circles = sum(one.circles or 0 for one in sent)
    console.print(
        f"{states['accepted']} accepted ({counted(circles, 'circle')} found, {waiting} still under way), "
        f"{states['duplicate']} sent before, {states['refused']} refused"
    )
    for one in sent:
        if one.state == "refused":
            console.print(f"refused  {one.path}: {one.reason}", soft_wrap=True)
    return 1 if states["refused"] else 0


if __name__ == "__main__":
    main()
