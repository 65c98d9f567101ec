"""The command `circles`."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from streams.settings import MissingSetting, Settings

if TYPE_CHECKING:
    from streams.dead_letters import DeadLetter

# Each command imports what it needs when it runs: `circles --help` answers at once.

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Images in, circles out: a streaming vision system on a message log.",
)
dead_letters = typer.Typer(no_args_is_help=True, help="What no stage could turn into a result.")
cli.add_typer(dead_letters, name="dead-letters")
# What is printed comes from messages and tables: no part of it is markup.
console = Console(markup=False, emoji=False, highlight=False)
failure = Console(stderr=True, style="red", markup=False, emoji=False, highlight=False)


@cli.command()
def up() -> None:
    """Start and supervise everything on this machine, until Ctrl-C."""
    _run_stack(demo=False, stay=True)


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
    from streams.ingest.send import find_files

    settings = Settings.load()
    settings.require("api_url")
    files = find_files(paths)
    if not files:
        raise FileNotFoundError("no .jpg, .jpeg, .png or .webp file in there")
    raise typer.Exit(asyncio.run(_send(files, settings.api_url, source, at_once)))


@cli.command()
def sql(query: Annotated[str, typer.Argument(help='Like "select * from images limit 5".')]) -> None:
    """Run a read-only query over the view and print a table. Tables: images, detections, objects,
    failures, retries, offsets."""
    from streams import lake

    settings = Settings.load()
    with lake.connect(settings, read_only=True) as view:
        view.execute("USE lake")
        lake.lock(view, settings)
        result = view.execute(query)
        table = Table(*[column[0] for column in result.description or ()])
        rows = result.fetchmany(1000)
        for row in rows:
            table.add_row(*["" if value is None else str(value) for value in row])
        more = bool(result.fetchmany(1))
    console.print(table)
    console.print(f"{len(rows)} rows" + (", more were left out: add a LIMIT or aggregate" if more else ""))


@dead_letters.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Those that were retried, too.")] = False,
) -> None:
    """List dead letters, newest first."""
    from streams.dead_letters import find

    table = Table("id", "when", "stage", "error", "reason", "image", "retried")
    letters = find(Settings.load(), retried=everything)
    for letter in letters:
        image = str(letter.image_id) if letter.image_id else ""
        table.add_row(
            str(letter.dead_letter_id)[:8], f"{letter.failed_at:%Y-%m-%d %H:%M:%S}", letter.stage,
            letter.error, letter.reason, image, "yes" if letter.retried else "",
        )  # fmt: skip
    if letters:
        console.print(table)
    console.print(f"{len(letters)} dead letters")


@dead_letters.command()
def show(letter_id: Annotated[str, typer.Argument(help="Its id, or how it begins.")]) -> None:
    """Show one dead letter whole, with its original message."""
    for letter in _letters([letter_id]):
        for name, value in (
            ("id", letter.dead_letter_id), ("image", letter.image_id), ("stage", letter.stage),
            ("error", letter.error), ("reason", letter.reason), ("when", letter.failed_at),
            ("message", f"{letter.source_topic}[{letter.source_partition}]@{letter.source_offset}"),
            ("retried", letter.retried), ("key", letter.message_key), ("value", letter.message_value),
            *(("header", f"{h['name']}: {h['value']!r}") for h in letter.headers),
        ):  # fmt: skip
            console.print(f"{name:9}{value!s}", soft_wrap=True)


@dead_letters.command()
def retry(
    letter_ids: Annotated[list[str] | None, typer.Argument(help="Their ids, or how they begin.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were not retried yet.")] = False,
) -> None:
    """Put the original messages back on the log."""
    from streams import dead_letters as letters

    if bool(letter_ids) == everything:
        raise ValueError("name dead letters, or say --all")
    settings = Settings.load()
    settings.require("kafka_bootstrap_servers")
    found = letters.find(settings) if everything else _letters(letter_ids or [])
    letters.retry(settings, found)
    console.print(f"{len(found)} messages are back on the log")


@cli.command()
def topics(
    wait_s: Annotated[float, typer.Option("--wait", min=1, max=3600, help="Seconds to wait for Kafka.")] = 60,
) -> None:
    """Create the topics that are missing; those that exist are left as they are."""
    from confluent_kafka import KafkaException

    from streams.topics import TOPICS, create

    settings = Settings.load()
    settings.require("kafka_bootstrap_servers")
    try:
        create(settings, wait_s=wait_s)
    except KafkaException as error:
        reason = error.args[0].str()
        raise ValueError(f"no topics at {settings.kafka_bootstrap_servers}: {reason}") from error
    console.print("there are: " + ", ".join(topic.name for topic in TOPICS))


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
    try:
        cli()
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        failure.print(str(error) or type(error).__name__, soft_wrap=True)
        sys.exit(1)


def _expected() -> tuple[type[Exception], ...]:
    """What may go wrong without a mistake of ours: wrong words, or a part that is not there."""
    import duckdb
    import httpx
    from confluent_kafka import KafkaException

    from deploy.local.folder import AlreadyRunning
    from deploy.local.process import CommandFailed
    from deploy.local.service import ServiceFailed
    from streams.errors import LogUnavailable

    return (
        MissingSetting, ValueError, FileNotFoundError, duckdb.Error, httpx.HTTPError, KafkaException,
        LogUnavailable, AlreadyRunning, CommandFailed, ServiceFailed,
    )  # fmt: skip


def _run_stack(*, demo: bool, stay: bool) -> None:
    from deploy.demo import show as show_demo
    from deploy.local.stack import up as run

    async def ready(running: Settings) -> None:
        if demo:
            await asyncio.to_thread(show_demo, running.api_url, console)
        if not stay:
            raise _Done
        console.print(f"\nEverything is up: {running.api_url}/   (Ctrl-C ends it)")

    try:
        asyncio.run(
            run(
                Settings(),
                on_ready=ready,
                say=lambda line: console.print(line, soft_wrap=True),
            )
        )
    except _Done:
        return


class _Done(Exception):
    """The demo was asked to leave."""


async def _send(files: list[Path], api_url: str, source: str, at_once: int) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from streams.ingest.send import Sent, send

    sent: list[Sent] = []
    with Progress(
        "sending", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task("", total=len(files))
        async for one in send(files, api_url, source=source, at_once=at_once):
            sent.append(one)
            bar.advance(task)
    states = Counter(one.state for one in sent)
    waiting = sum(one.state == "accepted" and one.circles is None for one in sent)
    circles = sum(one.circles or 0 for one in sent)
    console.print(
        f"{states['accepted']} accepted ({circles} circles found, {waiting} still under way), "
        f"{states['duplicate']} sent before, {states['refused']} refused"
    )
    for one in sent:
        if one.state == "refused":
            console.print(f"refused  {one.path}: {one.reason}", soft_wrap=True)
    return 1 if states["refused"] else 0


def _letters(ids: list[str]) -> list[DeadLetter]:
    from streams.dead_letters import find

    found = find(Settings.load(), ids)
    for wanted in ids:
        matches = [letter for letter in found if str(letter.dead_letter_id).startswith(wanted)]
        if len(matches) != 1:
            raise ValueError(
                f"{len(matches)} dead letters have an id that begins with {wanted!r}; see `list --all`"
            )
    return found


if __name__ == "__main__":
    main()
