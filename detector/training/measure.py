"""What a scorer reaches on pictures that it was not trained on, and what its scores are worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.special import expit, logit  # type: ignore[import-untyped]

from detector.circles import FloatArray
from detector.evaluation.dataset import AnnotatedImage, Dataset
from detector.evaluation.matching import match
from detector.evaluation.observe import Observation
from detector.evaluation.overlap import box_iou, boxes
from detector.evaluation.score import RIGHT
from detector.images import decode
from detector.training.examples import rendered
from detector.v2.forest import Scorer
from detector.v2.model import find_all

PHOTOGRAPHS = 0.9
"""Their weight in calibration: they are what is asked for, scenes are of more kinds."""


class Measured(NamedTuple):
    """A set left out of training, and all that was found in it."""

    name: str
    observations: list[Observation]


def measured(name: str, observations: Iterable[Observation]) -> Measured:
    return Measured(name, list(observations))


def of_images(dataset: Dataset, scorer: Scorer) -> Iterable[Observation]:
    for image in dataset.images:
        yield Observation(image, find_all(decode(image.path.read_bytes()), scorer), 0.0)


def of_scenes(numbers: Sequence[int], scorer: Scorer) -> Iterable[Observation]:
    """Scenes as if annotated; what hardly shows is left out of what was found, as nobody can tell."""
    for number in numbers:
        scene = rendered(number)
        found = find_all(scene.image, scorer)
        unclear = box_iou(boxes(found), boxes(scene.doubtful)).max(axis=1, initial=0) > RIGHT
        clear = box_iou(boxes(found), boxes(scene.circles)).max(axis=1, initial=0) > RIGHT
        annotated = AnnotatedImage(f"scene {number}", Path(), scene.circles)
        yield Observation(annotated, found[clear | ~unclear], 0.0)


def calibrated(sets: Sequence[Measured]) -> tuple[float, float]:
    """Slope and offset of the logistic curve from log odds to the share that is right (Platt 1999).

    However many there are of each, photographs weigh PHOTOGRAPHS, and scenes the rest.
    """
    odds, right, weight = [], [], []
    every = [observation for one in sets for observation in one.observations]
    for is_scene, share in ((False, PHOTOGRAPHS), (True, 1 - PHOTOGRAPHS)):
        scores, hits = right_ones(each for each in every if (each.image.path == Path()) == is_scene)
        odds.append(logit(np.clip(scores, 1e-6, 1 - 1e-6)))
        right.append(hits)
        weight.append(np.full(len(hits), share / max(1, len(hits))))
    return platt(np.concatenate(odds), np.concatenate(right), np.concatenate(weight))


def right_ones(observations: Iterable[Observation]) -> tuple[FloatArray, FloatArray]:
    """Scores of all circles found, and 1 for each that is a true one, one to one: (n,) each."""
    scores, right = [np.empty(0)], [np.empty(0)]
    for observation in observations:
        found = observation.found
        pairs = match(box_iou(boxes(found), boxes(observation.image.truth)), RIGHT)
        hit = np.zeros(len(found))
        hit[pairs.found] = 1
        scores.append(found["score"].astype(float))
        right.append(hit)
    return np.concatenate(scores), np.concatenate(right)


def platt(odds: FloatArray, right: FloatArray, weight: FloatArray) -> tuple[float, float]:
    def loss(parameters: FloatArray) -> float:
        z = parameters[0] * odds + parameters[1]
        return float((weight * (np.logaddexp(0, z) - right * z)).sum())

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x.tolist()
    return slope, offset


def recalibrated(measured: Measured, slope: float, offset: float) -> Measured:
    """The same circles with the scores of a calibrated scorer; their order stays."""
    observations = []
    for observation in measured.observations:
        found = observation.found.copy()
        found["score"] = expit(slope * logit(np.clip(found["score"], 1e-6, 1 - 1e-6)) + offset)
        observations.append(Observation(observation.image, found, observation.latency_ms))
    return Measured(measured.name, observations)
