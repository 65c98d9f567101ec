"""Images of a comparison circle by circle: which were gained, lost and moved, to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.found import Floats, Found
from streams.evaluation.images import Rule, changes
from streams.evaluation.matching import match_images
from streams.evaluation.reading import Drawn, Picture


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """An image and its circles, each x, y, radius in pixels of the picture as stored, (n, 3) of each kind.

    matched: as b has those that did not move; moved: as a has them, and as b has them, row by row.
    """

    image_id: UUID
    picture: Picture | None
    matched: Floats
    moved: tuple[Floats, Floats]
    gained: Floats
    lost: Floats
    truth: Floats | None
    """None: nobody said what is true of it."""


def told_apart(images: Sequence[UUID], drawn: Drawn, rule: Rule) -> Iterator[Shown]:
    """The circles of each image by what became of them, by the ruler of the comparison."""
    a, b = drawn.a, drawn.b
    pairs = match_images(a, b, rule.min_iou, rule.iou)
    shift, radius, _ = changes(a, b, pairs)
    moved = (shift > rule.moved_px) | (np.abs(radius) > rule.moved_px)
    lost, gained = np.ones(len(a.x), bool), np.ones(len(b.x), bool)
    lost[pairs.a] = gained[pairs.b] = False
    of_a, of_b = places(a), places(b)
    image = a.images[pairs.a]
    for n, (image_id, picture, truth) in enumerate(zip(images, drawn.pictures, drawn.truth, strict=True)):
        here: NDArray[np.bool_] = image == n
        yield Shown(
            image_id=image_id,
            picture=picture,
            matched=of_b[pairs.b[here & ~moved]],
            moved=(of_a[pairs.a[here & moved]], of_b[pairs.b[here & moved]]),
            gained=of_b[gained & (b.images == n)],
            lost=of_a[lost & (a.images == n)],
            truth=truth,
        )


def places(found: Found) -> Floats:
    """x, y, radius of each circle, (k, 3)."""
    return np.column_stack([found.x, found.y, found.radius])
