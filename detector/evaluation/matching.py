"""Which found circle is which true one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from detector.circles import FloatArray


class Pairs(NamedTuple):
    """Indices of found and of true circles, (k,) each; no index comes twice."""

    found: NDArray[np.intp]
    truth: NDArray[np.intp]


def match(iou: FloatArray, threshold: float) -> Pairs:
    """One to one, each pair with an IoU of at least `threshold`: as many pairs as there can be,
    and of all such pairings the one with the largest sum of IoU (Hungarian method).

    iou: (found, true).
    """
    fits = iou >= threshold
    # One more pair outweighs whatever the others lose by it.
    gain = np.where(fits, min(iou.shape, default=0) + iou, 0)
    found, truth = linear_sum_assignment(gain, maximize=True)
    right = fits[found, truth]
    return Pairs(found[right], truth[right])
