"""The table of models. A version never changes once it has answered: results name it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detector import model_v1
from detector.circles import Circles, make
from detector.errors import UnknownModel

Detect: TypeAlias = Callable[[NDArray[np.uint8]], Circles]


class Model(NamedTuple):
    """A model's function with the name and version it answers under."""

    name: str
    version: str
    detect: Detect


def dummy(_image: NDArray[np.uint8]) -> Circles:
    """The same circle in every image, whatever its size: for trying out all that is around it."""
    middle, radius = np.array([[30.0, 30.0]]), np.array([20.0])
    return make(middle, radius, np.array([1.0]), np.array([[20.0, 20.0]]), (60, 60))


MODELS: dict[tuple[str, str], Detect] = {
    ("circles", "1"): model_v1.detect,
    ("dummy", "1"): dummy,
}
"""(name, version): function. Versions are whole numbers."""


def names() -> list[str]:
    return sorted({name for name, _ in MODELS})


def find(name: str, version: str | None = None) -> Model:
    """The model of this name: this version of it, or the newest. Raises UnknownModel."""
    if version is None:
        version = max((v for n, v in MODELS if n == name), key=int, default="")
    if (name, version) not in MODELS:
        wanted = f"{name}:{version}" if version else name
        known = ", ".join(f"{n}:{v}" for n, v in sorted(MODELS))
        raise UnknownModel(f"no model {wanted}; there are {known}")
    return Model(name, version, MODELS[name, version])


def detect(image: NDArray[np.uint8]) -> Circles:
    """Find circles with the newest version of the model `circles`.

    image: (H, W, 3) RGB or (H, W) grey, uint8. Returns `Circles` in its pixels, best first.
    Raises ValueError for another shape or type.
    """
    return find("circles").detect(image)
