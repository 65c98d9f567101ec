"""What both protocols of KServe have in common for a client: images go out, the circles of each come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streams.circles import Circles, invalid_circles
from streams.errors import InvalidModelAnswer
from streams.version import Value

MAX_CIRCLES = 20_000
"""More would not fit a message of the log (48 bytes each, 1 MiB in all)."""

Parameters = Mapping[str, Value]
Headers = Mapping[str, str]


class Request(NamedTuple):
    """The body of a prediction request, and the headers that belong to it."""

    content: bytes
    headers: dict[str, str]


class Said(NamedTuple):
    """The circles of an image, best first, and the model's version where the answer has it."""

    circles: Circles
    version: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """How to ask and how to read what comes.

    Paths come after `/{name}/models/{model}[/versions/{version}]`. `read` takes a body, its headers (any
    case of letters) and how many images were asked about, and raises InvalidModelAnswer.
    """

    name: str
    ready_path: str
    predict_path: str
    request: Callable[[Sequence[bytes], Parameters], Request]
    read: Callable[[bytes, Headers, int], list[Said]]


def checked(circles: Circles) -> Circles:
    """The circles, best score first, those of equal score in the model's order.

    Raises InvalidModelAnswer where one of them cannot be a circle or they are too many.
    """
    if len(circles) > MAX_CIRCLES:
        raise InvalidModelAnswer(f"{len(circles)} circles; at most {MAX_CIRCLES} fit a message")
    if wrong := invalid_circles(circles):
        raise InvalidModelAnswer(wrong)
    return circles[np.argsort(-circles["score"], kind="stable")]
