"""The commands `circles annotations import|export|list`: ground truth from files, and into them."""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer
from rich.table import Table

from deploy.export import moment
from deploy.terminal import console, counted, progress
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.annotation_files import Entry

VISIBLE_S = 30.0
"""How long the view may take to show what was sent, before that is said."""
commands = typer.Typer(no_args_is_help=True, help="Ground truth: which circles people say are in an image.")
Kind = Literal["coco", "csv", "jsonl"]


@commands.command("import")
def import_(
    coco: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its images may lie beside it.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A row for each circle or box.")
    ] = None,
    jsonl: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A line for each image.")
    ] = None,
    annotator: Annotated[
        str | None, typer.Option(help="Who says so. Default: who the file names, or the file's name.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Only images of this project are meant.")] = None,
) -> None:
    """Put the annotations of a file on the log: all of them, or none where one is wrong.

    An image is found by its id, the SHA-256 of its bytes (also of a file beside COCO's), or its file's name.
    """
    from pydantic import TypeAdapter, ValidationError

    from streams import annotating, lake, produce
    from streams.codec import Codec
    from streams.ground_truth import Name
    from streams.live_view import seen
    from streams.topics import ANNOTATED

    given = {"coco": coco, "csv": csv, "jsonl": jsonl}
    files = {kind: file for kind, file in given.items() if file}
    if len(files) != 1:
        raise ValueError("say one of --coco FILE, --csv FILE and --jsonl FILE")
    ((kind, file),) = files.items()
    try:
        who = TypeAdapter(Name | None).validate_python(annotator)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint="--annotator") from None
    settings = Settings.load()
    settings.require("kafka_bootstrap_servers")
    entries = read(kind, file)
    with lake.connect(settings, read_only=True) as view:
        plan = annotating.plan(
            view, entries, annotator=who, otherwise=file.name, project=project, now=datetime.now(UTC)
        )
    codec = Codec.from_url(settings.schema_registry_url)
    with progress() as bar:
        task = bar.add_task("sending", total=len(plan.new))
        sent = produce.put(
            settings,
            (produce.outgoing(ANNOTATED, record, codec) for record in plan.new),
            lambda: bar.advance(task),
        )
    circles = sum(len(record.circles) for record in plan.new)
    annotated = f"{counted(len(plan.new), 'image')} annotated ({counted(circles, 'circle')})"
    console.print(f"{annotated}, {plan.equal:,} were equal already")
    if not seen(settings, sent, VISIBLE_S):
        console.print("the view has not come to all of them yet: see `circles status`")


def read(kind: str, file: Path) -> list[Entry]:
    """The entries of a file; those of COCO with the SHA-256 of the images that lie beside it."""
    from streams.annotation_files import InvalidFile, read_coco, read_csv, read_jsonl

    data = file.read_bytes()
    if kind == "jsonl":
        return read_jsonl(data)
    if kind == "csv":
        try:
            return read_csv(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise InvalidFile([f"{file.name} is not UTF-8: {error}"]) from error
    entries = read_coco(data)
    with progress() as bar:
        for entry in bar.track(entries, description="looking at images"):
            if entry.about.sha256 is None:
                entry.about.sha256 = beside(file.parent, entry.about.file_name)
    return entries


def beside(folder: Path, name: str) -> str | None:
    """The SHA-256 of the file of that name in a folder, or in its `images`; None where there is none."""
    for place in (folder / name, folder / "images" / name):
        with suppress(OSError, ValueError):  # also a URL too long for a name, or one no file can have
            if place.resolve().is_relative_to(folder.resolve()):  # no other is looked at, whoever names it
                return hashlib.sha256(place.read_bytes()).hexdigest()
    return None


@commands.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="To write; without it, standard output.")] = None,
    coco: Annotated[bool, typer.Option("--coco", help="As COCO, with `circle` where one was drawn.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV, a row for each circle or box.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="As JSON, a line for each image.")] = False,
    project: Annotated[str | None, typer.Option(help="Of this project.")] = None,
    source: Annotated[str | None, typer.Option(help="From this camera or service.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of images uploaded from then on, as 2026-01-31.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="And before then.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where there is one.")] = False,
) -> None:
    """Write each image's newest annotation, as of one moment; `import` takes it back."""
    from streams import lake
    from streams.annotated import WRITERS, newest
    from streams.export import whole

    kinds = [kind for kind, wanted in (("coco", coco), ("csv", csv), ("jsonl", jsonl)) if wanted]
    if len(kinds) != 1:
        raise ValueError("say one of --coco, --csv and --jsonl")
    if file and file.exists() and not force:
        raise ValueError(f"{file} is there already: --force replaces it")
    if file and not file.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {file.absolute().parent}")
    settings = Settings.load()
    with lake.connect(settings, read_only=True) as view:
        at = lake.snapshot(view)
        values = {
            "snapshot": at, "project": project, "source": source,
            "since": since and moment(since), "until": until and moment(until),
        }  # fmt: skip
        images = newest(view, "filtered", settings.objects_url, values)
    parts = WRITERS[kinds[0]](images, f"snapshot {at}")
    if not file:
        sys.stdout.buffer.writelines(parts)
        return
    with whole(file.absolute()) as part, part.open("wb") as out:
        out.writelines(parts)
    circles = sum(len(image.circles) for image in images)
    console.print(
        f"{counted(len(images), 'image')} and {counted(circles, 'circle')} as of snapshot {at} are in {file}",
        soft_wrap=True,
    )


@commands.command("list")
def list_(image: Annotated[UUID, typer.Argument(help="Its id.")]) -> None:
    """List the versions of an image's annotation, newest first."""
    from streams import lake
    from streams.annotated import SQL

    table = Table("when", "who", "from", "drawn as", "circles", "id")
    with lake.connect(Settings.load(), read_only=True) as view:
        if not view.execute(SQL["image"], {"image": image}).fetchall():
            raise ValueError(f"there is no image {image}")
        versions: Sequence[tuple[object, ...]] = view.execute(SQL["versions"], {"image": image}).fetchall()
    for when, *rest in versions:
        table.add_row(f"{when:%Y-%m-%d %H:%M:%S}", *["" if value is None else str(value) for value in rest])
    if versions:
        console.print(table)
    console.print(f"{len(versions)} versions")
