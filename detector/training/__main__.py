"""Train the scorer of circles:2: `python -m detector.training --data FOLDER`.

Writes scorer.npy, scorer.json and the card scorer.md: the same bytes from the same input, machine type
and libraries. The card's figures are of models trained without the set that they are of.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from detector.evaluation.dataset import AnnotatedImage, Dataset, read
from detector.training.card import write
from detector.training.examples import VARIANTS, Example, of_photograph, of_scene
from detector.training.fit import Weighted, fit
from detector.training.measure import Measured, calibrated, measured, of_images, of_scenes
from detector.v2.forest import FOLDER, Scorer, as_scorer

SCENES = 8000
HELD_OUT = 200
"""Scenes kept for calibration and for the card; their numbers follow those of training."""
PHOTOGRAPH_WEIGHT = 2.0
NOT_TRAINED_ON = ("blood-cells",)
"""Sets where much that is round has no annotation: they would teach that cells are none."""

T = TypeVar("T")
A = TypeVar("A")


def main() -> None:
    """Render, propose, measure with each set left out, calibrate, fit on everything, write."""
    parser = argparse.ArgumentParser("python -m detector.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with a COCO folder for each set")
    parser.add_argument("--scenes", type=int, default=SCENES, help="rendered scenes to learn from")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the files go")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sets = [read(place) for place in sorted(options.data.iterdir()) if place.is_dir()]
    with ProcessPoolExecutor() as pool:
        parallel = partial(in_parallel, pool)
        scenes = parallel(of_scene, range(options.scenes), "scenes")
        photographs = {
            dataset.name: parallel(of_variant, variants(dataset), dataset.name) for dataset in sets
        }
    held_out = range(options.scenes, options.scenes + HELD_OUT)
    nodes = fit(weighted(scenes, photographs, without=""))
    whole = uncalibrated(nodes)
    found = [
        measured(dataset.name, of_images(dataset, whole))
        if dataset.name in NOT_TRAINED_ON
        else left_out(dataset, scenes, photographs)
        for dataset in sets
    ]
    found.append(measured("rendered scenes", of_scenes(held_out, whole)))
    slope, offset = calibrated([m for m in found if m.name not in NOT_TRAINED_ON])
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out, nodes, slope, offset, found, options.scenes)


def variants(dataset: Dataset) -> list[tuple[AnnotatedImage, int]]:
    return [(image, variant) for image in dataset.images for variant in VARIANTS]


def of_variant(task: tuple[AnnotatedImage, int]) -> Example:
    return of_photograph(*task)


def in_parallel(pool: ProcessPoolExecutor, work: Callable[[A], T], tasks: Sequence[A], what: str) -> list[T]:
    return list(track(pool.map(work, tasks, chunksize=8), what, len(tasks)))


def weighted(
    scenes: Sequence[Example], photographs: dict[str, list[Example]], without: str
) -> list[Weighted]:
    """All examples but those of one set, and of sets not to be trained on."""
    taken = [e for name, es in photographs.items() if name not in (without, *NOT_TRAINED_ON) for e in es]
    return [(scene, 1.0) for scene in scenes] + [(photograph, PHOTOGRAPH_WEIGHT) for photograph in taken]


def uncalibrated(nodes: NDArray[np.void]) -> Scorer:
    return as_scorer(nodes, slope=1, offset=0)


def left_out(dataset: Dataset, scenes: Sequence[Example], photographs: dict[str, list[Example]]) -> Measured:
    print(f"training without {dataset.name}")
    nodes = fit(weighted(scenes, photographs, without=dataset.name))
    return measured(dataset.name, of_images(dataset, uncalibrated(nodes)))


if __name__ == "__main__":
    main()
