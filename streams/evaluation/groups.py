"""F1 of two versions by group: of images by source and by hour of the day, of circles by radius.

What is better on average may be worse on one camera, at night, or on small circles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from detector.circles import Circles, FloatArray
from detector.evaluation.bootstrap import Statistic, ratio
from detector.evaluation.matching import match
from detector.evaluation.overlap import box_iou, boxes
from detector.evaluation.score import RIGHT
from streams.evaluation.found import Longs
from streams.evaluation.images import BANDS_PX, band_name
from streams.evaluation.measures import Measure, figures, verdict


@dataclass(frozen=True, slots=True)
class OfGroup(Measure):
    """Of images, or of circles, that have something in common: so many, with so many true circles."""

    images: int
    annotated: int


class Counted:
    """What both versions found of what is true: hits, found and annotated, (images, bands, 3) each.

    A hit is in the band of the true circle's radius, a circle that is none in that of its own.
    """

    def __init__(self, a: Longs, b: Longs) -> None:
        self._a, self._b = a, b

    def by_band(self) -> list[OfGroup]:
        """Of bands of radii that have circles, in their order."""
        found = []
        for band, (low, high) in enumerate(zip(BANDS_PX, (*BANDS_PX[1:], None), strict=True)):
            a, b = self._a[:, band], self._b[:, band]
            here = (a + b).any(axis=1)  # an image without such circles would make an interval too narrow
            if here.any():
                found.append(_of_group(band_name(low, high), a[here], b[here]))
        return found

    def by(self, keys: Sequence[str]) -> list[OfGroup]:
        """Of images with the same key, in the order of keys. keys: (images,)."""
        return list(self._by(keys))

    def _by(self, keys: Sequence[str]) -> Iterator[OfGroup]:
        a, b = self._a.sum(axis=1), self._b.sum(axis=1)
        of = np.array(keys, object)
        for key in sorted(set(keys)):
            yield _of_group(key, a[of == key], b[of == key])


def counted(found: Sequence[Circles], truth: Sequence[Circles], min_score: float) -> Longs:
    """Of each image and band of radii the hits, circles found and true circles, (images, bands, 3)."""
    rows = [
        _of_image(mine[mine["score"] >= min_score], true) for mine, true in zip(found, truth, strict=True)
    ]
    return np.array(rows, np.int64).reshape(-1, len(BANDS_PX), 3)


def _of_image(found: Circles, truth: Circles) -> Longs:
    pairs = match(box_iou(boxes(found), boxes(truth)), RIGHT)
    false = np.ones(len(found), bool)
    false[pairs.found] = False
    hits, wrong, annotated = (
        np.bincount(np.searchsorted(BANDS_PX, radius, side="right") - 1, minlength=len(BANDS_PX))
        for radius in (truth["radius"][pairs.truth], found["radius"][false], truth["radius"])
    )
    return np.stack([hits, hits + wrong, annotated], axis=1)


def _of_group(name: str, a: Longs, b: Longs) -> OfGroup:
    """a, b: (images, 3)."""
    ((of_a, of_b, difference),) = figures(_f1(a), _f1(b), len(a))
    of_all = int(a[:, 2].sum())
    return OfGroup(name, of_a, of_b, difference, verdict("f1", difference), len(a), of_all)


def _f1(counts: Longs) -> Statistic:
    hits, all_circles = 2 * counts[:, :1], counts[:, 1:].sum(axis=1, keepdims=True)

    def statistic(weights: FloatArray) -> FloatArray:
        return ratio(weights @ hits, weights @ all_circles)

    return statistic
