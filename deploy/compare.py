"""The command `circles compare`: two model versions image by image, from what the view holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.export import moment
from deploy.terminal import console, progress
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.evaluation.images import Part

VERSION = "NAME:VERSION"
Score = typer.Option(min=0, max=1, help="Count its circles from this score on.")


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"{VERSION}, or {VERSION}+min_score=SCORE.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, of the version to compare with A.")],
    source: Annotated[str | None, typer.Option(help="Images from this camera or service.")] = None,
    project: Annotated[str | None, typer.Option(help="Images of this project.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Uploaded from then on, as 2026-01-31 or 2026-01-31T12:00:00Z (else: UTC)."
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Uploaded before then.")] = None,
    min_score_a: Annotated[float | None, Score] = None,
    min_score_b: Annotated[float | None, Score] = None,
    min_iou: Annotated[float, typer.Option(max=1, help="Circles that overlap so much may be one.")] = 0.5,
    iou: Annotated[
        Literal["circle", "box"], typer.Option(help="What overlaps: whole circles, or boxes as clipped.")
    ] = "circle",
    moved_px: Annotated[
        float, typer.Option(min=0, help="A centre or radius that differs by more pixels has moved.")
    ] = 1.0,
    worst: Annotated[int, typer.Option(min=0, metavar="N", help="How many images to name.")] = 10,
    images: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a row for each image: a .parquet file.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with pictures of the worst images: an .html file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with everything.")] = False,
) -> None:
    """Compare two model versions on the images that both have looked at: circles gained, lost and moved."""
    import orjson

    from deploy.compared import tables
    from streams.evaluation import reading
    from streams.evaluation.compare import compare as compare_versions
    from streams.evaluation.images import Rule
    from streams.evaluation.version import resolve
    from streams.export import whole

    asked = {
        "source": source, "project": project, "since": since and moment(since),
        "until": until and moment(until),
    }  # fmt: skip
    filters = {name: value for name, value in asked.items() if value is not None}
    settings = Settings.load()
    if html:
        _writable(html, ".html")
    with reading.opened(settings) as (view, at), progress() as bar, _written(images) as write:
        known = reading.known(view, at)
        versions = resolve(a, known, min_score_a), resolve(b, known, min_score_b)
        task = bar.add_task("comparing", total=None)

        def each(part: Part, all_images: int) -> None:
            write(part)
            bar.update(task, total=all_images, advance=len(part.images))

        rule = Rule(min_iou, iou, moved_px)
        comparison = compare_versions(view, at, *versions, rule, filters, worst=worst, each=each)
        if html:
            from query_api.comparing import cards, report

            shown = asyncio.run(cards.made(settings, view, versions, at, rule, comparison))
            with whole(html.absolute()) as file:
                file.write_bytes(report.page(comparison, shown))
    if as_json:
        typer.echo(orjson.dumps(comparison, option=orjson.OPT_UTC_Z))
    else:
        console.print(tables(comparison))
        for file in filter(None, (images, html)):
            console.print(f"it is in {file}", soft_wrap=True, markup=False, highlight=False)


@contextmanager
def _written(target: Path | None) -> Iterator[Callable[[Part], None]]:
    """Takes parts, and writes what they say of each image; the file is whole or not there."""
    if target is None:
        yield lambda _part: None
        return
    from contextlib import ExitStack

    from pyarrow import parquet

    from streams.export import whole

    _writable(target, ".parquet")
    with whole(target.absolute()) as file, ExitStack() as stack:
        writers: list[parquet.ParquetWriter] = []

        def write(part: Part) -> None:
            if not writers:
                writers.append(stack.enter_context(parquet.ParquetWriter(file, part.images.schema)))
            writers[0].write_table(part.images)

        yield write


def _writable(target: Path, kind: str) -> None:
    """Raises ValueError unless a file of the kind can be made there."""
    target = target.absolute()
    if target.suffix != kind:
        raise ValueError(f"{target.name} is no name of a {kind} file")
    if not target.parent.is_dir():
        raise ValueError(f"there is no folder {target.parent}")
    if target.exists():
        raise ValueError(f"{target} is there already")
