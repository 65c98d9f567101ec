"""Score detections against true boxes: one to one, by intersection over union."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector import Circles

Boxes = NDArray[np.floating[Any]]


def boxes(circles: Circles) -> Boxes:
    """(n, 4): x_min, y_min, x_max, y_max."""
    corners = [circles[side].astype(float) for side in ("x_min", "y_min", "x_max", "y_max")]
    return np.stack(corners, axis=1)


def matched(found: Boxes, truth: Boxes, threshold: float = 0.5) -> int:
    """How many of the found boxes, best first, take a true box of their own."""
    free, hits = list(range(len(truth))), 0
    for box in found:
        overlaps = {i: iou(box, truth[i]) for i in free}
        best = max(overlaps, key=lambda i: overlaps[i], default=None)
        if best is not None and overlaps[best] >= threshold:
            free.remove(best)
            hits += 1
    return hits


def iou(one: Boxes, other: Boxes) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.clip(high - low, 0, None).prod())
    areas = float((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod())
    return shared / (areas - shared)
