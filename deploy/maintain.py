"""The command `circles maintain`."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.terminal import console
from streams.settings import Settings


def maintain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Merge the view's small files, and let go of old snapshots and files, once and at once.

    The running maintainer does the same by itself, little by little; readers and the fold go on meanwhile.
    How long snapshots and files are kept is set: SNAPSHOT_RETENTION_S, FILE_GRACE_S.
    """
    from streams import lake
    from streams.maintain import alone
    from streams.maintenance import maintenance

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
    if not due:
        console.print("nothing is due")
