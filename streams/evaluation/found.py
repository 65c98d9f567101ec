"""What one model version found in many images, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Longs: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The k circles of n images; those of image i are at offsets[i] to offsets[i + 1].

    offsets: (n + 1,); x, y, radius: (k,) in pixels of the image; score: (k,); box: (k, 4), x_min, y_min,
    x_max, y_max in pixels, None where nobody asked for boxes.
    """

    offsets: Longs
    x: Floats
    y: Floats
    radius: Floats
    score: Floats
    box: Floats | None = None

    @property
    def counts(self) -> Longs:
        """Circles of each image, (n,)."""
        return np.diff(self.offsets)

    @property
    def images(self) -> Longs:
        """The image of each circle, (k,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.counts)


def gather(images: int, image: Longs, columns: dict[str, Floats]) -> Found:
    """Circles in any order by their images.

    image: (k,), each below `images`; columns: x, y, radius, score, and the four sides of boxes or none, (k,).
    """
    order = np.argsort(image, kind="stable")  # rows of the view are nearly in order, which this is quick for
    offsets = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=images))])
    sides = [columns[side][order] for side in ("x_min", "y_min", "x_max", "y_max") if side in columns]
    x, y, radius, score = (columns[name][order] for name in ("x", "y", "radius", "score"))
    return Found(offsets, x, y, radius, score, np.column_stack(sides) if sides else None)
