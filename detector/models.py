"""The table of models. A version never changes once it has answered: results name it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from detector.circles import Circles, make
from detector.errors import UnknownModel
from detector.v1 import model as v1
from detector.v2 import model as v2

FindAll: TypeAlias = Callable[[NDArray[np.uint8]], Circles]
"""An image to all circles the model is willing to name, doubtful ones too, best first."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model's function with the name and version it answers under."""

    name: str
    version: str
    find_all: FindAll
    min_score: float = 0.0
    """A circle is one from this score on, where the caller does not say otherwise."""
    may_crash: bool = False
    """Whether an image may end the process (a fault of a library): a server keeps it apart."""

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        min_score: float | None = None,
        min_radius: float = 0,
        max_radius: float = np.inf,
    ) -> Circles:
        """Find circles in an image, (H, W, 3) RGB or (H, W) grey, uint8: best first.

        min_score: 0 to 1, the model's own where None; radii in pixels of the image. Raises
        ValueError for another shape or type of image.
        """
        found = self.find_all(image)
        enough = found["score"] >= (self.min_score if min_score is None else min_score)
        sized = (found["radius"] >= min_radius) & (found["radius"] <= max_radius)
        return found[enough & sized]


def dummy(_image: NDArray[np.uint8]) -> Circles:
    """The same circle in every image, whatever its size: for trying out all that is around it."""
    return make(np.array([[30.0, 30.0, 20.0, 20.0, 0.0]]), np.array([1.0]), (60, 60))


MODELS = (
    Model("circles", "1", v1.detect, v1.MIN_SCORE, may_crash=True),
    Model("circles", "2", v2.find_all, v2.MIN_SCORE),
    Model("dummy", "1", dummy),
)
"""Versions are whole numbers, the highest the newest."""


def names() -> list[str]:
    return sorted({model.name for model in MODELS})


def find(name: str, version: str | None = None) -> Model:
    """The model of this name: this version of it, or the newest. Raises UnknownModel."""
    fitting = [m for m in MODELS if m.name == name and version in (None, m.version)]
    if not fitting:
        wanted = f"{name}:{version}" if version else name
        known = ", ".join(f"{model.name}:{model.version}" for model in MODELS)
        raise UnknownModel(f"no model {wanted}; there are {known}")
    return max(fitting, key=lambda model: int(model.version))


def detect(
    image: NDArray[np.uint8],
    *,
    min_score: float | None = None,
    min_radius: float = 0,
    max_radius: float = np.inf,
) -> Circles:
    """Find circles with the newest version of the model `circles`, as `Model.detect` says."""
    return find("circles").detect(image, min_score=min_score, min_radius=min_radius, max_radius=max_radius)
