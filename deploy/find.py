"""The command `circles find`: the circles in image files, without anything else running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from deploy.terminal import console, failure, say_left

if TYPE_CHECKING:
    from detector.circles import Circles
    from detector.models import Model


def find(
    paths: Annotated[list[str], typer.Argument(help="Files, folders (searched through) and glob patterns.")],
    model: Annotated[
        str, typer.Option(metavar="NAME[:VERSION]", help="Without a version the newest.")
    ] = "circles",
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Circles from this score on; else the model's own.")
    ] = None,
    min_radius: Annotated[float, typer.Option(min=0, help="In pixels of the image.")] = 0,
    max_radius: Annotated[float | None, typer.Option(min=0, help="In pixels of the image.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for the images with their circles drawn.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each image.")] = False,
) -> None:
    """Find the circles in image files, here and now: nothing is sent or kept."""
    import orjson

    from detector import models
    from detector.errors import InvalidImage, UnknownModel
    from detector.images import decode
    from streams.ingest.send import find_files

    name, _, version = model.partition(":")
    try:
        chosen = models.find(name, version or None)
    except UnknownModel as error:
        raise typer.BadParameter(str(error), param_hint="--model") from None
    if max_radius is not None and max_radius < min_radius:
        raise typer.BadParameter(f"{max_radius:g} is below --min-radius", param_hint="--max-radius")
    files, others = find_files(paths)
    say_left(others)
    asked: dict[str, Any] = {"min_score": min_score, "min_radius": min_radius}
    if max_radius is not None:
        asked["max_radius"] = max_radius
    table = Table("image", "circles", "best score", "radii", title=f"{chosen.name}:{chosen.version}")
    refused = 0
    for number, file in enumerate(files, 1):
        try:
            image = decode(file.read_bytes())
        except InvalidImage as error:
            refused += 1
            failure.print(f"{file}: {error}", soft_wrap=True)
            continue
        circles = chosen.detect(image, **asked)
        if as_json:
            typer.echo(orjson.dumps({"image": str(file), "circles": list(as_objects(circles))}))
        else:
            table.add_row(str(file), str(len(circles)), *summary(circles))
        if pictures:
            draw(image, circles, pictures / f"{number:03d}-{file.stem}.png", chosen)
    if table.row_count:
        console.print(table)
    raise typer.Exit(1 if refused else 0)


def as_objects(circles: Circles) -> Iterator[dict[str, float]]:
    for row in circles:
        yield {field: round(float(row[field]), 3) for field in circles.dtype.names or ()}


def summary(circles: Circles) -> tuple[str, str]:
    if not len(circles):
        return "", ""
    smallest, largest = circles["radius"].min(), circles["radius"].max()
    radii = (
        f"{smallest:.0f} px" if round(smallest) == round(largest) else f"{smallest:.0f} to {largest:.0f} px"
    )
    return f"{circles['score'].max():.2f}", radii


def draw(image: Any, circles: Circles, path: Path, model: Model) -> None:
    """Write the image with its circles, at least 900 pixels wide or high, to be looked at."""
    from PIL import Image

    from detector.evaluation import drawing

    line = drawing.Line(f"{model.name}:{model.version}", drawing.RIGHT.colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawing.draw(image, {line: circles}, max(900, *image.shape[:2]))).save(path)
