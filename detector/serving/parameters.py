"""The request parameters that every protocol takes: what to name circles, and which to leave out."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from detector.errors import InvalidRequest
from detector.models import Model

MAX_LABEL = 200
"""Characters: the label comes back with each circle."""

LARGEST = sys.float_info.max


class Parameters(NamedTuple):
    """`min_score` 0 to 1, the model's own where None; radii in pixels of the image."""

    label: str = "circle"
    min_score: float | None = None
    min_radius: float = 0
    max_radius: float = math.inf

    def applied(self, model: Model) -> dict[str, str | float]:
        """What a model was asked with, as V2 responses tell it; no `max_radius` is no entry."""
        said: dict[str, str | float] = {
            "label": self.label,
            "min_score": model.min_score if self.min_score is None else self.min_score,
            "min_radius": self.min_radius,
        }
        if math.isfinite(self.max_radius):
            said["max_radius"] = self.max_radius
        return said


def parse(given: object) -> Parameters:
    """Read the parameters' object, or its absence. Raises InvalidRequest.

    Others than ours are left alone: both protocols let extensions add their own.
    """
    if given is None:
        return Parameters()
    if not isinstance(given, Mapping):
        raise InvalidRequest("parameters is not an object")
    most_radius = number(given, "max_radius")
    found = Parameters(
        label(given),
        number(given, "min_score", most=1),
        number(given, "min_radius") or 0,
        math.inf if most_radius is None else most_radius,
    )
    if found.min_radius > found.max_radius:
        raise InvalidRequest(
            f"parameters.min_radius {found.min_radius:g} is above max_radius {found.max_radius:g}"
        )
    return found


def label(given: Mapping[str, Any]) -> str:
    found = given.get("label", "circle")
    if not isinstance(found, str):
        raise InvalidRequest("parameters.label is not a string")
    if len(found) > MAX_LABEL:
        raise InvalidRequest(f"parameters.label is longer than {MAX_LABEL} characters")
    return found


def number(given: Mapping[str, Any], name: str, most: float = LARGEST) -> float | None:
    """A finite number from 0 to `most`; None where it is not given."""
    if name not in given:
        return None
    found = given[name]
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= most:
        wanted = f"from 0 to {most:g}" if most < LARGEST else "from 0 on, finite"
        raise InvalidRequest(f"parameters.{name} is not a number {wanted}")
    return float(found)
