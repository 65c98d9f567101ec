"""The command `circles scrub`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.rebuild import build
from deploy.terminal import console
from streams.settings import Settings

if TYPE_CHECKING:
    import psycopg

    from streams.scrub import Damage


def scrub(
    repair: Annotated[
        bool, typer.Option("--repair", help="Where files are damaged, fold the view again from the log.")
    ] = False,
) -> None:
    """Read every file of the view and compare it with what was written, and the offsets with the log.

    What is damaged is named, with the rows that are in it; then the exit status is 1, unless it was repaired.
    A repair is a rebuild: a fresh view takes the place of the damaged one, which is kept.
    """
    from streams import lake
    from streams.ledger import Ledger
    from streams.scrub import against_the_log

    settings = Settings.load()
    settings.require("catalog_url", "kafka_bootstrap_servers")
    generation = lake.live(settings)
    with lake.catalog(settings) as catalog:
        found = _scrubbed(settings, catalog, generation)
        for damage in found:
            console.print(f"damaged  {damage.file.path}: {damage.reason}", soft_wrap=True)
            console.print(f"         {damage.file.holds()}", soft_wrap=True)
        contradictions = against_the_log(settings, Ledger(catalog, generation))
    for contradiction in contradictions:
        console.print(f"offsets  {contradiction}", soft_wrap=True)
    if not contradictions:
        console.print("the catalog's offsets agree with the log")
    if found and not repair:
        console.print("`circles scrub --repair` folds these rows again from the log")
    if contradictions or (found and not repair):
        raise typer.Exit(1)
    if found:
        build(damaged={damage.file.table for damage in found})


def _scrubbed(settings: Settings, catalog: psycopg.Connection[Any], generation: str) -> list[Damage]:
    """What is damaged, with a bar by bytes meanwhile and a line at the end."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from streams import lake
    from streams.scrub import files, scrubbed

    listed = files(catalog, generation)
    found = []
    with Progress("scrubbing", BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("", total=sum(file.size_bytes or 0 for file in listed))
        for file, damage in scrubbed(catalog, generation, lake.place(settings, generation), listed):
            bar.advance(task, file.size_bytes or 0)
            if damage:
                found.append(damage)
    console.print(
        f"{len(listed):,} files of {generation} with {sum(file.rows for file in listed):,} rows:"
        f" {len(found):,} are damaged"
    )
    return found
