"""Intersection over union of everything found with everything true."""

from __future__ import annotations

import numpy as np

from detector.circles import Circles, FloatArray, overlap


def boxes(circles: Circles) -> FloatArray:
    """(n, 4): x_min, y_min, x_max, y_max."""
    sides = [circles[side].astype(float) for side in ("x_min", "y_min", "x_max", "y_max")]
    return np.stack(sides, axis=1)


def box_iou(one: FloatArray, other: FloatArray) -> FloatArray:
    """(n, m) from boxes (n, 4) and (m, 4), rows of x_min, y_min, x_max, y_max."""
    return paired_box_iou(one[:, None], other[None])


def paired_box_iou(one: FloatArray, other: FloatArray) -> FloatArray:
    """Each box with the other in its place: (...) from (..., 4)."""
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., 2:], other[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    area, other_area = ((b[..., 2:] - b[..., :2]).prod(axis=-1) for b in (one, other))
    return np.asarray(shared / (area + other_area - shared))


def circle_iou(one: Circles, other: Circles) -> FloatArray:
    """(n, m) of the whole circles, by centre and radius: what the frame cuts off counts, too."""
    x, y, radius = (one[field].astype(float) for field in ("x", "y", "radius"))
    columns: list[FloatArray] = [np.zeros((len(one), 0))]
    for x2, y2, radius2 in other[["x", "y", "radius"]].tolist():
        columns.append(paired_circle_iou(np.hypot(x - x2, y - y2), radius, radius2)[:, None])
    return np.hstack(columns)


def paired_circle_iou(distance: FloatArray, radius: FloatArray, other: FloatArray | float) -> FloatArray:
    """Each circle with the other in its place, by the distance of their centres: (n,)."""
    shared = overlap(distance, radius, other) * (np.pi * np.minimum(radius, other) ** 2)
    return np.asarray(shared / (np.pi * (radius**2 + other**2) - shared))
