"""The command `circles scrub`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from deploy.terminal import console
from streams.settings import Settings

if TYPE_CHECKING:
    import psycopg

    from streams.scrub import Damage


def scrub() -> None:
    """Read every file of the view and compare it with what was written, and the offsets with the log.

    What is damaged is named, with the rows that are in it; then the exit status is 1.
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
    if found or contradictions:
        raise typer.Exit(1)
    console.print("the catalog's offsets agree with the log")


def _scrubbed(settings: Settings, catalog: psycopg.Connection[Any], generation: str) -> list[Damage]:
    """What is damaged, with a bar by bytes meanwhile and a line at the end."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from streams.scrub import files, scrubbed

    listed = files(catalog, generation)
    found = []
    with Progress("scrubbing", BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("", total=sum(file.size_bytes or 0 for file in listed))
        for file, damage in scrubbed(catalog, generation, f"{settings.lake_path}/{generation}", listed):
            bar.advance(task, file.size_bytes or 0)
            if damage:
                found.append(damage)
    console.print(
        f"{len(listed):,} files of {generation} with {sum(file.rows for file in listed):,} rows:"
        f" {len(found):,} are damaged"
    )
    return found
