"""The commands `circles keys create|list|revoke`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from deploy.terminal import console, counted
from streams.settings import Settings

if TYPE_CHECKING:
    from query_api.access.keys import Key

commands = typer.Typer(no_args_is_help=True, help="Who may call the API, where AUTH is on.")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, for you to know it again.")],
    right: Annotated[list[str], typer.Option(help="ingest, read or administer; may be said again.")],
    project: Annotated[
        str | None, typer.Option(help="Whose rows it sees and adds to, and no others.")
    ] = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="Instead of --project.")] = False,
    expires: Annotated[str | None, typer.Option(help="In 30d, 12h or 15m; else it has no end.")] = None,
) -> None:
    """Make a key and print it, this once: only a hash of it is kept."""
    from query_api.access import keys
    from streams import lake

    if all_projects and project is not None:
        raise ValueError("a key is for one project or for all: say --project NAME, or --all-projects")
    if not all_projects and project is None:
        raise ValueError("say whose rows the key is for: --project NAME, or --all-projects")
    with lake.catalog(Settings.load()) as catalog:
        made = keys.create(catalog, name, right, project, _moment(expires) if expires else None)
    typer.echo(f"key {made.key_id}; it is not shown again:", err=True)
    typer.echo(made.text)  # alone on standard output, for scripts


@commands.command("list")
def list_() -> None:
    """List all keys, newest first, with those that were revoked or have expired."""
    from query_api.access import keys
    from streams import lake

    with lake.catalog(Settings.load()) as catalog:
        found = keys.listed(catalog)
    table = Table("id", "name", "rights", "project", "made", "in force")
    for key in found:
        made = f"{key.created_at.astimezone(UTC):%Y-%m-%d %H:%M}"
        table.add_row(key.key_id, key.name, " ".join(key.rights), key.project or "all", made, _in_force(key))
    if found:
        console.print(table)
    console.print(counted(len(found), "key"))


@commands.command()
def revoke(key_id: Annotated[str, typer.Argument(help="As `list` shows it.")]) -> None:
    """End a key for good; the API refuses it within two seconds."""
    from query_api.access import keys
    from streams import lake

    with lake.catalog(Settings.load()) as catalog:
        keys.revoke(catalog, key_id)
    console.print(f"key {key_id} is revoked")


def _in_force(key: Key) -> str:
    if key.revoked_at:
        return f"no, revoked {key.revoked_at.astimezone(UTC):%Y-%m-%d %H:%M}"
    if key.expires_at is None:
        return "yes"
    until = f"{key.expires_at.astimezone(UTC):%Y-%m-%d %H:%M}"
    return f"until {until}" if key.expires_at > datetime.now(UTC) else f"no, expired {until}"


def _moment(text: str) -> datetime:
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text, re.ASCII)
    if not match:
        raise ValueError(f"--expires is a time like 30d, 12h or 15m, not {text!r}")
    return datetime.now(UTC) + timedelta(**{UNITS[match[2]]: int(match[1])})
