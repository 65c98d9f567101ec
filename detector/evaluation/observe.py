"""A model looking at each image of a dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from detector.circles import Circles
from detector.evaluation.dataset import AnnotatedImage, Dataset
from detector.images import decode
from detector.models import Model

LOWEST_SCORE = 0.01
"""Average precision ranks doubtful circles, too; below this there are only many."""


class Looked(NamedTuple):
    """All circles found in one image, best first, and how long that took."""

    circles: Circles
    latency_ms: float


Look: TypeAlias = Callable[[bytes], Looked]
"""An encoded image to what is found in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One annotated image and what was found in it."""

    image: AnnotatedImage
    found: Circles
    latency_ms: float


def look_with(model: Model, lowest_score: float = LOWEST_SCORE) -> Look:
    """Look by calling the model here. Its latency is without the decoding of the image."""

    def look(data: bytes) -> Looked:
        image = decode(data)
        start = time.perf_counter()
        circles = model.detect(image, min_score=lowest_score)
        return Looked(circles, (time.perf_counter() - start) * 1e3)

    return look


def observe(dataset: Dataset, look: Look) -> Iterator[Observation]:
    """Each image looked at, once, in order; before, the first one twice for nothing.

    A first call may compile code, and often still the second is slower than all others.
    """
    for _ in range(2):
        look(dataset.images[0].path.read_bytes())
    for image in dataset.images:
        yield Observation(image, *look(image.path.read_bytes()))
