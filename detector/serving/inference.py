"""What all protocols have in common: images to a model, and what it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detector.circles import CIRCLE, FIELDS, Circles
from detector.errors import InvalidImage
from detector.images import decode
from detector.models import Model
from detector.serving.parameters import Parameters

Source: TypeAlias = bytes | NDArray[np.uint8]
"""An encoded image (JPEG, PNG, WebP), or pixels: (H, W, 3) RGB or (H, W) grey."""


class Found(NamedTuple):
    """Circles of each image, and what decoding and detecting took."""

    circles: list[Circles]
    latency_ms: float


class Answer(NamedTuple):
    """A response, ready to be sent, and what the metrics say of it."""

    content: bytes
    headers: dict[str, str]
    images: int
    circles: int
    latency_ms: float


class Asked(NamedTuple):
    """A request as it was read: its images, how to look for circles in them, and how to write the answer."""

    sources: Sequence[Source]
    parameters: Parameters
    respond: Callable[[Found], Answer]


def is_many(model: Model, asked: Asked) -> bool:
    """Whether a request is many pieces of work: a model in a process of its own has all images at once."""
    return len(asked.sources) > 1 and not model.may_crash


def begin(model: Model, read: Callable[[], Asked]) -> Answer | Asked:
    """Read a request, and answer it where it is one piece of work. Raises what `read` does, InvalidImage."""
    asked = read()
    return asked if is_many(model, asked) else answered(model, asked)


def answered(model: Model, asked: Asked) -> Answer:
    """The answer to a request as one piece of work. Raises InvalidImage."""
    return asked.respond(together([infer(model, asked, n) for n in range(len(asked.sources))]))


def infer(model: Model, asked: Asked, number: int) -> Found:
    """Find the circles of one image. Raises InvalidImage."""
    began = time.perf_counter()
    circles = model.detect(
        decoded(asked.sources, number),
        min_score=asked.parameters.min_score,
        min_radius=asked.parameters.min_radius,
        max_radius=asked.parameters.max_radius,
    )
    return Found([circles], (time.perf_counter() - began) * 1e3)


def decoded(sources: Sequence[Source], number: int) -> NDArray[np.uint8]:
    source = sources[number]
    if isinstance(source, np.ndarray):
        return source
    try:
        return decode(source)
    except InvalidImage as error:
        if len(sources) == 1:
            raise
        raise InvalidImage(f"image {number} of 0 to {len(sources) - 1}: {error}") from error


def together(found: Sequence[Found]) -> Found:
    """Of all images, in their order."""
    return Found(
        [circles for each in found for circles in each.circles], sum(each.latency_ms for each in found)
    )


def answer(model: Model, found: Found, content: bytes, content_type: str, **headers: str) -> Answer:
    return Answer(
        content,
        {
            "content-type": content_type,
            "prediction-time-latency": f"{found.latency_ms:.3f}",
            "model-version": model.version,
            **headers,
        },
        len(found.circles),
        sum(map(len, found.circles)),
        found.latency_ms,
    )


def rows(circles: Sequence[Circles]) -> NDArray[np.float32]:
    """All images' circles one after another: (M, 11), the columns of `FIELDS`."""
    together = np.concatenate(circles) if len(circles) != 1 else circles[0]
    return np.ascontiguousarray(together, CIRCLE).view(np.float32).reshape(-1, len(FIELDS))


def counts(circles: Sequence[Circles]) -> NDArray[np.int64]:
    """Circles of each image: (N,)."""
    return np.array([len(each) for each in circles], np.int64)
