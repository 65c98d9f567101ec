"""The command `circles maintain`."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.terminal import console
from streams.settings import Settings


def maintain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Merge the view's small files, let go of old snapshots and files, and sweep what uploads left, at once.

    The running processes do the same by themselves, little by little; readers and the fold go on meanwhile.
    How long snapshots and files are kept is set: SNAPSHOT_RETENTION_S, FILE_GRACE_S.
    """
    import asyncio

    from streams import lake
    from streams.ingest.orphans import sweep
    from streams.maintain import alone
    from streams.maintenance import maintenance
    from streams.store import Store

    settings = Settings.load()
    with (
        console.status("waiting for the maintenance under way"),
        maintenance(settings, lake.live(settings)) as upkeep,
        alone(upkeep.catalog, wait=True),
    ):
        console.print(f"{upkeep.generation} in {upkeep.folder}", soft_wrap=True)
        due = False
        for step in upkeep.steps(settings, thorough=True, dry_run=dry_run):
            due = True
            console.print(f"{'would ' if dry_run else ''}{step}", soft_wrap=True)
    store = Store(settings.objects_url, settings.max_upload_size)
    if settings.kafka_bootstrap_servers and (swept := asyncio.run(sweep(settings, store, dry_run=dry_run))):
        due = True
        console.print(f"{'would ' if dry_run else ''}sweep   {swept:,} uploads that never came to an event")
    if not due:
        console.print("nothing is due")
