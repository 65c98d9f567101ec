"""The command `circles evaluate`: how good a model is on annotated images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from deploy.terminal import console, progress
from streams.settings import Settings

if TYPE_CHECKING:
    from detector.evaluation.observe import Look

HERE, REMOTE = "the model", "round trip"


def evaluate(
    coco: Annotated[
        list[Path],
        typer.Option(help="Folder with COCO annotations and images, or its JSON file; repeatable."),
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME[:VERSION]", help="Without a version the newest.")
    ] = "circles",
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Count circles from this score on; else the model's own."),
    ] = None,
    url: Annotated[str, typer.Option(help="Ask this KServe server instead of calling the model here.")] = "",
    pictures: Annotated[
        Path | None, typer.Option(help="New folder for the images with what was right, missed and false.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Measure a model on annotated images: precision, recall, errors, latency, with 95 % intervals."""
    import orjson

    from detector.evaluation.dataset import read
    from detector.evaluation.measures import measure
    from detector.evaluation.observe import observe
    from detector.evaluation.score import score
    from detector.evaluation.tables import tables

    if pictures and pictures.exists() and any(pictures.iterdir()):
        raise ValueError(f"{pictures} is not empty: pictures go to a new folder")
    datasets = [read(place) for place in coco]
    with _subject(model, url, min_score) as subject, progress() as bar:
        observed = [
            list(bar.track(observe(dataset, subject.look), len(dataset.images), description=dataset.name))
            for dataset in datasets
        ]
        scored = [score(observations, subject.min_score) for observations in observed]
        name, everything = subject.name(), [*chain(*scored)]
        reports = [measure(d.name, name, images) for d, images in zip(datasets, scored, strict=True)]
        pooled = measure("pooled", name, everything)
        if pictures:
            from detector.evaluation.pictures import save

            task = bar.add_task("pictures", total=len(everything))
            save(pictures, [*chain(*observed)], subject.min_score, lambda: bar.advance(task))
    if as_json:
        told = {"model": name, "min_score": subject.min_score, "latency_of": REMOTE if url else HERE}
        typer.echo(orjson.dumps(told | {"datasets": reports, "pooled": pooled}))
        return
    for report in [*reports, pooled] if len(reports) > 1 else reports:
        console.print(tables(report, REMOTE if url else HERE))


class Subject(NamedTuple):
    """What is measured. Its name is known when it has looked: a server says which version answered."""

    name: Callable[[], str]
    min_score: float
    look: Look


@contextmanager
def _subject(model: str, url: str, min_score: float | None) -> Iterator[Subject]:
    name, _, version = model.partition(":")
    if url:
        with _server(name, version, url, min_score) as subject:
            yield subject
    else:
        yield _model(name, version, min_score)


def _model(name: str, version: str, min_score: float | None) -> Subject:
    from detector import models
    from detector.errors import UnknownModel
    from detector.evaluation.observe import LOWEST_SCORE, look_with

    try:
        found = models.find(name, version or None)
    except UnknownModel as error:
        raise typer.BadParameter(str(error), param_hint="--model") from None
    counted = found.min_score if min_score is None else min_score
    look = look_with(found, min(LOWEST_SCORE, counted))
    return Subject(lambda: f"{found.name}:{found.version}", counted, look)


@contextmanager
def _server(name: str, version: str, url: str, min_score: float | None) -> Iterator[Subject]:
    """A server's model. It is asked for doubtful circles only where `min_score` says which count."""
    import httpx
    import numpy as np

    from detector.circles import CIRCLE
    from detector.evaluation.observe import LOWEST_SCORE, Looked
    from streams.errors import InvalidModelAnswer, ModelUnavailable
    from streams.model import KServeModel

    place = httpx.URL(url).netloc.decode()  # without a password
    wanted = {"model_server_url": url, "model_name": name, "model_version": version}
    settings = Settings.load().model_copy(update=wanted)
    lowest = None if min_score is None else min(LOWEST_SCORE, min_score)
    versions: set[str] = set()
    with asyncio.Runner() as runner:
        client = KServeModel(settings, min_score=lowest)

        def look(data: bytes) -> Looked:
            try:
                answer = runner.run(client.detect(data))
            except (ModelUnavailable, InvalidModelAnswer) as error:
                raise ValueError(f"no circles from {place}: {error}") from error
            versions.add(answer.model_version)
            circles = np.zeros(len(answer.circles), CIRCLE)
            for field in set(CIRCLE.names or ()) & set(answer.circles.dtype.names or ()):
                circles[field] = answer.circles[field]
            circles["major"] = circles["minor"] = circles["radius"]
            return Looked(circles, answer.latency_ms)

        try:
            yield Subject(lambda: f"{name}:{'+'.join(sorted(versions))} at {place}", min_score or 0.0, look)
        finally:
            runner.run(client.__aexit__(None, None, None))
