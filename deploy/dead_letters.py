"""The commands `circles dead-letters list|show|retry`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from deploy.terminal import console, counted
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.dead_letters import DeadLetter

commands = typer.Typer(no_args_is_help=True, help="What no stage could turn into a result.")


@commands.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Those that were retried, too.")] = False,
) -> None:
    """List dead letters, newest first."""
    from streams.dead_letters import MOST, find

    table = Table(*(Column(name, no_wrap=True) for name in ("id", "when", "stage")), "reason")
    letters = find(Settings.load(), retried=everything)
    for letter in letters:
        reason = f"{letter.reason} (retried)" if letter.retried else letter.reason
        when = f"{letter.failed_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(letter.dead_letter_id)[:8], when, letter.stage, reason)
    if letters:
        console.print(table)
    console.print(f"{len(letters)} dead letters" + (", the newest" if len(letters) == MOST else ""))


@commands.command()
def show(letter_id: Annotated[str, typer.Argument(help="Its id, or how it begins.")]) -> None:
    """Show one dead letter whole, with its original message."""
    for letter in _letters([letter_id]):
        for name, value in (
            ("id", letter.dead_letter_id), ("image", letter.image_id), ("stage", letter.stage),
            ("error", letter.error), ("reason", letter.reason), ("when", letter.failed_at),
            ("message", f"{letter.source_topic}[{letter.source_partition}]@{letter.source_offset}"),
            ("retried", letter.retried), ("key", letter.message_key), ("value", letter.message_value),
            *(("header", f"{name}: {value!r}") for name, value in letter.headers),
        ):  # fmt: skip
            console.print(f"{name:9}{value!s}", soft_wrap=True)


@commands.command()
def retry(
    letter_ids: Annotated[list[str] | None, typer.Argument(help="Their ids, or how they begin.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were not retried yet.")] = False,
) -> None:
    """Put the original messages back on the log."""
    from streams import dead_letters

    if bool(letter_ids) == everything:
        raise ValueError("name dead letters, or say --all")
    settings = Settings.load()
    settings.require("kafka_bootstrap_servers")
    found = dead_letters.find(settings) if everything else _letters(letter_ids or [])
    whole = [letter for letter in found if letter.message_value] if everything else found
    dead_letters.retry(settings, whole)
    console.print(f"on the log again: {counted(len(whole), 'message')}")
    if len(found) > len(whole):
        console.print(f"{len(found) - len(whole)} hold no message to put back; see `show`")
    if len(found) == dead_letters.MOST:
        console.print("there may be more: say --all again once these are done")


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
