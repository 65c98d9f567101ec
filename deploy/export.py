"""The command `circles export`: the view's tables as files for others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from deploy.terminal import console, counted, progress
from streams.settings import Settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "coco"}


def export(
    to: Annotated[Path, typer.Option(help="File to write: .parquet, .csv, .jsonl, or .json for COCO.")],
    table: Annotated[
        Literal["objects", "detections", "images", "failures"] | None,
        typer.Option(help="Default: objects. COCO takes none: it has images and their circles."),
    ] = None,
    kind: Annotated[
        Literal["parquet", "csv", "jsonl", "coco"] | None,
        typer.Option("--format", help="Where the file's name does not say it."),
    ] = None,
    project: Annotated[str | None, typer.Option(help="Of this project.")] = None,
    source: Annotated[str | None, typer.Option(help="From this camera or service.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME[:VERSION]", help="Without a version any of its versions.")
    ] = None,
    min_score: Annotated[float | None, typer.Option(min=0, max=1, help="Circles from this score on.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="From then on, as 2026-01-31 or 2026-01-31T12:00:00Z (without a zone: UTC). Images and COCO"
            " by the upload, detections and objects by the detection, failures by the failure.",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before then.")] = None,
    image_id: Annotated[UUID | None, typer.Option(help="Of this image.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where there is one.")] = False,
) -> None:
    """Write a table of the view, or a COCO dataset, to a file: all of it as of one moment, or nothing."""
    from streams import lake
    from streams.export import export_coco, export_table, whole
    from streams.version import parted, spelled

    to = to.absolute()
    chosen = kind or FORMATS.get(to.suffix.lower())
    if not chosen:
        raise ValueError(f"what is {to.name} to be? End its name in {', '.join(FORMATS)}, or say --format")
    if chosen == "coco" and table:
        raise ValueError("--table does not apply to coco: it has images and their circles")
    if not to.parent.is_dir():
        raise ValueError(f"there is no folder {to.parent}")
    if to.exists() and not force:
        raise ValueError(f"{to} is there already: --force replaces it")
    name, _, version = (model or "").partition(":")
    asked = {
        "project": project, "source": source, "model": name or None,
        "version": spelled(*parted(version)) or None,
        "min_score": min_score, "since": since and moment(since), "until": until and moment(until),
        "image_id": image_id,
    }  # fmt: skip
    filters = {name: value for name, value in asked.items() if value is not None}
    settings = Settings.load()
    with lake.connect(settings, read_only=True) as view, whole(to) as part:
        at = lake.snapshot(view)

        def work() -> str:
            if chosen == "coco":
                images, circles = export_coco(view, at, part, settings.objects_url, filters)
                return f"{counted(images, 'image')} and {counted(circles, 'circle')}"
            what = table or "objects"
            return counted(export_table(view, at, part, what, chosen, filters), what.removesuffix("s"))

        done = watched(view, work)
    console.print(f"{done} as of snapshot {at} are in {to}", soft_wrap=True)


def moment(text: str) -> datetime:
    """A time in ISO 8601; without a zone it is UTC. Raises ValueError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: 2026-01-31 and 2026-01-31T12:00:00Z are") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def watched(view: DuckDBPyConnection, work: Callable[[], str]) -> str:
    """What work on a connection returns; done on a thread, its progress shown, ended by Ctrl-C."""
    view.execute("SET enable_progress_bar = true")  # else DuckDB does not count
    view.execute("SET enable_progress_bar_print = false")
    with ThreadPoolExecutor(1) as thread, progress() as bar:
        task = bar.add_task("exporting", total=100)
        working = thread.submit(work)
        try:
            while not wait([working], timeout=0.1).done:
                bar.update(task, completed=max(0.0, view.query_progress()))
        except KeyboardInterrupt:
            view.interrupt()
            raise
        return working.result()
