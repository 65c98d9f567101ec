"""The commands `circles promote` and `circles promotions`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from deploy.terminal import console
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.version import Version


def promote(
    model: Annotated[str, typer.Argument(metavar="[NAME:VERSION]", show_default=False)] = "",
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORDS",
            help="Only if on ground truth 'f1@.5 >= .95', or 'f1@.5 not worse than current'; repeatable.",
        ),
    ] = None,
    back: Annotated[bool, typer.Option("--back", help="Return to the one before.")] = False,
) -> None:
    """Make a version the current one: its detections are served, and it detects what is uploaded."""
    from streams import lake, promotions
    from streams.version import Version

    if bool(model) == back:
        raise ValueError("name a version, like circles:2, or say --back")
    settings = Settings.load()
    settings.require("kafka_bootstrap_servers", "catalog_url", "model_server_url")
    if back:
        with lake.connect(settings, read_only=True) as view:
            made = promotions.history(view)
        if not made:
            raise ValueError("nothing was promoted yet: there is nothing to go back to")
        version = made[0].previous
    else:
        version = Version.read(model)
    evidence = _met(settings, version, require) if require else []
    before, covered, _ = promotions.promote(
        settings, version, by=getpass.getuser(), back=back, evidence=evidence
    )
    for requirement, because in evidence:
        console.print(f"{requirement}: {because}")
    console.print(f"{version} is the current one, before it was {before}")
    if missing := covered.images - covered.detected:
        console.print(
            f"{missing:,} of {covered.images:,} images have no detection of it: they keep the one they had"
            f" until `circles replay start --model {version}`"
        )


def _met(settings: Settings, version: Version, require: list[str]) -> list[tuple[str, str]]:
    """The requirements, and by what each is met. Raises ValueError where one is not."""
    from streams.evaluation import reading, requirements
    from streams.evaluation.compare import with_current

    wanted = [requirements.read(text) for text in require]
    with reading.opened(settings) as (view, at):
        found = with_current(view, at, str(version))
    held = [requirements.hold(each, found) for each in wanted]
    if missed := [each for each in held if not each.is_met]:
        raise ValueError(
            "\n".join([f"{version} is not promoted", *(f"{e.requirement}: {e.because}" for e in missed)])
        )
    return [(each.requirement, each.because) for each in held]


def list_() -> None:
    """List what was promoted, newest first: by whom, when, and what it replaced."""
    from streams import lake, promotions

    table = Table(*(Column(name, no_wrap=True) for name in ("when", "version", "before it", "by", "how")))
    with lake.connect(Settings.load(), read_only=True) as view:
        made = promotions.history(view)
        now = promotions.current(view)
    for each in made:
        when, how = f"{each.promoted_at:%Y-%m-%d %H:%M:%S}", "back" if each.back else "promoted"
        table.add_row(when, str(each.version), str(each.previous), each.promoted_by, how)
    if made:
        console.print(table)
    console.print(f"{now or 'nothing'} is the current one")
