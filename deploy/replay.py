"""The commands `circles replay start|list|show|watch|pause|resume|cancel`."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.table import Column, Table

from deploy.export import moment
from deploy.terminal import console, counted
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.reevaluation import State
    from streams.replays import Progress, Replay

LOOK_S = 0.5
commands = typer.Typer(
    no_args_is_help=True, help="Images that are on the log, through another version of a model."
)
Id = Annotated[str, typer.Argument(help="The replay's id, or how it begins.")]


@commands.command()
def start(
    model: Annotated[str, typer.Option(metavar="NAME:VERSION", help="What is to look at the images.")],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Uploaded from then on, as 2026-01-31 or 2026-01-31T12:00:00Z (else: UTC)."
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Uploaded before then.")] = None,
    source: Annotated[str | None, typer.Option(help="Only images of this camera or service.")] = None,
    project: Annotated[str | None, typer.Option(help="Only images of this project.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Only those whose ids are in this file, one a line.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, max=2**53, help="So many of them, drawn at random.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(metavar="PART", help="Only so large a part of them, as 0.1: the same ones each time."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what is uploaded from now on, until it is cancelled.")
    ] = False,
    annotated: Annotated[
        bool, typer.Option("--only-with-ground-truth", help="Only images that are annotated.")
    ] = False,
    calls_at_once: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Model calls under way in each process; 16 where it is not said."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Show its progress until it ends.")] = True,
) -> None:
    """Detect images again by another version, up to what is on the log now; Ctrl-C leaves it running.

    With --follow it detects what is uploaded from now on, or --since, beside the current version.
    """
    from streams import replay_requests
    from streams.reevaluation import CALLS_AT_ONCE
    from streams.version import Version

    wanted = Version.read(model)
    settings = Settings.load()
    settings.require("kafka_bootstrap_servers", "catalog_url")
    if settings.mode != "dummy":
        settings.require("model_server_url")
    replay, progress = replay_requests.request(
        settings,
        *wanted,
        by=getpass.getuser(),
        calls_at_once=calls_at_once or CALLS_AT_ONCE,
        since=since and moment(since),
        until=until and moment(until),
        source_id=source,
        project_id=project,
        images=_ids(images) if images else None,
        sample=sample,
        share=share,
        annotated=annotated,
        follow=follow,
    )
    to_do = "following" if follow else f"{progress.left:,} of {progress.images:,} images to do"
    console.print(f"replay {replay.replay_id}: {to_do}")
    if wait and not follow:
        _watch(settings, str(replay.replay_id))


@commands.command("list")
def list_() -> None:
    """List all replays, newest first, and how far each is."""
    from streams import lake, replays
    from streams.replay_progress import how_far

    settings = Settings.load()
    table = Table(*(Column(name, no_wrap=True) for name in ("id", "requested", "model", "state", "images")))
    with lake.connect(settings, read_only=True) as view:
        found = replays.find(view)
        for replay in found:
            requested = replay.requested
            table.add_row(
                str(requested.replay_id),
                f"{requested.requested_at:%Y-%m-%d %H:%M:%S}",
                replay.version,
                replay.shown,
                _said(how_far(settings, view, replay)),
            )
    if found:
        console.print(table)
    console.print(counted(len(found), "replay"))


@commands.command()
def show(
    replay_id: Id, count: Annotated[int, typer.Option(min=0, help="Most missed images listed.")] = 20
) -> None:
    """Show one replay: what it is about, how far it is, and the images that it could not detect."""
    from streams import lake, replays
    from streams.replay_progress import how_far

    settings = Settings.load()
    with lake.connect(settings, read_only=True) as view:
        replay = _named(replays.find(view), replay_id)
        requested = replay.requested
        asked = {name: getattr(requested, name) for name in replays.FILTERS}
        only = ", ".join(f"{name} {value}" for name, value in asked.items() if value not in (None, False))
        for name, value in (
            ("id", requested.replay_id),
            ("model", replay.version),
            ("state", f"{replay.shown} since {replay.changed_at:%Y-%m-%d %H:%M:%S}, by {replay.changed_by}"),
            ("requested", f"{requested.requested_at:%Y-%m-%d %H:%M:%S} by {requested.requested_by}"),
            ("only", only or "all images"),
            ("images", _said(how_far(settings, view, replay))),
        ):
            console.print(f"{name:10}{value!s}", soft_wrap=True)
        for missed in replays.missed(view, requested.replay_id, count):
            console.print(f"{'missed':10}{missed.image_id} {missed.error}: {missed.reason}", soft_wrap=True)


@commands.command()
def watch(replay_id: Id) -> None:
    """Show a replay's progress until it ends or is paused."""
    from streams import lake, replays

    settings = Settings.load()
    with lake.connect(settings, read_only=True) as view:
        replay = _named(replays.find(view), replay_id)
    _watch(settings, str(replay.requested.replay_id))


@commands.command()
def pause(replay_id: Id) -> None:
    """Let a replay rest; `resume` goes on where it was."""
    _change(replay_id, "paused")


@commands.command()
def resume(replay_id: Id) -> None:
    """Go on with a replay that was paused."""
    _change(replay_id, "running")


@commands.command()
def cancel(replay_id: Id) -> None:
    """End a replay; what it has detected stays. One that follows is finished then."""
    _change(replay_id, "cancelled")


def _change(replay_id: str, state: State) -> None:
    from streams import lake, replay_requests, replays

    settings = Settings.load()
    settings.require("kafka_bootstrap_servers")
    with lake.connect(settings, read_only=True) as view:
        replay = _named(replays.find(view), replay_id)
    state = replay_requests.change(settings, replay, state, by=getpass.getuser())
    console.print(f"replay {replay.requested.replay_id} is {state}")


def _watch(settings: Settings, replay_id: str) -> None:
    """Until a replay that may not be in the view yet is no longer running."""
    from deploy.terminal import progress as bars
    from streams import lake, replays
    from streams.replay_progress import how_far

    with lake.connect(settings, read_only=True) as view, bars() as bar:
        task = bar.add_task("images", total=None)
        while True:
            found = [r for r in replays.find(view) if str(r.requested.replay_id) == replay_id]
            if found:
                replay, at = found[0], how_far(settings, view, found[0])
                bar.update(task, total=at.images + (at.behind or 0), completed=at.detected + at.missed)
                if replay.state != "running":
                    break
            time.sleep(LOOK_S)
    console.print(f"{replay.state}: {_said(at)}")
    if at.missed:
        console.print(f"`circles replay show {replay.requested.replay_id}` says why")


def _named(found: list[Replay], text: str) -> Replay:
    from streams.replay_requests import named

    return named(found, text)


def _said(at: Progress) -> str:
    from streams.lag import span

    missed = f", {at.missed:,} could not be" if at.missed else ""
    if at.behind is not None:
        since = at.waiting_since
        waits = f", the oldest waits {span((datetime.now(UTC) - since).total_seconds())}" if since else ""
        return f"{at.detected:,} detected{missed}, {at.behind:,} uploads behind{waits}"
    return f"{at.detected:,} of {at.images:,} detected{missed}"


def _ids(file: Path) -> tuple[UUID, ...]:
    """Raises ValueError naming the line."""
    found = []
    try:
        text = file.read_text()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(UUID(line.strip()))
            except ValueError:
                raise ValueError(f"{file}:{number}: {line.strip()[:80]!r} is no image's id") from None
    return tuple(found)
