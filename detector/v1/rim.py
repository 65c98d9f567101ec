"""How well the picture supports a proposed circle: the gradient along and beside its rim."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.circles import FloatArray

ANGLES = np.arange(72) * (2 * np.pi / 72)
"""Where the rim is sampled."""

TOLERANCE = 0.03
"""How far beside the proposal the rim may run, in parts of its radius (at least 1 px)."""

ON_RIM = np.linspace(-1, 1, 7)
"""Samples across the rim, in tolerances."""

BESIDE = np.concatenate([np.linspace(0.75, 0.95, 6), np.linspace(1.05, 1.25, 6)])
"""Neighbouring rings, in radii."""

RADIAL = np.cos(np.deg2rad(30))
"""Least share of a gradient that points across the rim."""

MIN_VISIBLE = 0.4
"""Least part of a rim inside the image; the frame may cut a circle, not hide it."""

BLOCK = 256
"""Candidates at a time: bounds the memory, and OpenCV's remap takes at most 32,767 rows."""


def scores(planes: NDArray[np.uint8], candidates: FloatArray) -> FloatArray:
    """Confidence in each candidate.

    planes: (H, W, channels); candidates: (n, 5) as in `detector.candidates`. Returns (n,) in
    [0, 1]: the geometric mean of two parts. Support: around the visible rim, how strong the
    gradient is against the picture's own noise, where it is radial (a gap counts as none).
    Distinctness: the rim's strength against that of the rings beside it, which tells a rim from
    texture that is strong everywhere.
    """
    gradient = strongest_gradient(planes)
    sample = np.hypot(gradient[0][::4, ::4], gradient[1][::4, ::4])
    strong = max(3.0, 2 * float(np.median(sample)))
    blocks = range(0, len(candidates), BLOCK)
    parts = [block_scores(gradient, strong, candidates[i : i + BLOCK]) for i in blocks]
    return np.concatenate([np.empty(0), *parts])


def strongest_gradient(planes: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
    """Grey levels per pixel, (gx, gy), of whichever plane changes most at each pixel: (H, W)."""
    smooth = cv2.GaussianBlur(planes, (5, 5), 1.0).reshape(planes.shape)
    gx, gy = (
        cv2.Scharr(smooth, cv2.CV_32F, *axes, scale=1 / 32).reshape(planes.shape) for axes in ((1, 0), (0, 1))
    )
    strongest = np.argmax(gx * gx + gy * gy, axis=2, keepdims=True)
    return (
        np.take_along_axis(gx, strongest, axis=2)[..., 0].astype(np.float32),
        np.take_along_axis(gy, strongest, axis=2)[..., 0].astype(np.float32),
    )


def block_scores(
    gradient: tuple[FloatArray, FloatArray], strong: float, candidates: FloatArray
) -> FloatArray:
    rim, normal = outline(candidates)
    radius = np.sqrt(candidates[:, 2] * candidates[:, 3])[:, None]
    on_rim = 1 + ON_RIM * np.maximum(TOLERANCE, 1 / radius)
    rings = np.concatenate([on_rim, np.broadcast_to(BESIDE, (len(radius), len(BESIDE)))], axis=1)
    points = candidates[:, None, None, :2] + rings[:, None, :, None] * rim[:, :, None, :]
    gx, gy = (bilinear(g, points) for g in gradient)
    across = np.abs(gx * normal[..., None, 0] + gy * normal[..., None, 1])
    length = np.hypot(gx, gy)

    # The rim runs where the gradient across it is strongest, within the tolerance: (n, angles).
    best = np.argmax(across[..., : len(ON_RIM)], axis=2)[..., None]
    rim_across = np.take_along_axis(across, best, axis=2)[..., 0]
    rim_length = np.take_along_axis(length, best, axis=2)[..., 0]
    beside = across[..., len(ON_RIM) :].mean(axis=2)

    height, width = gradient[0].shape
    edge = candidates[:, None, :2] + rim
    visible = np.all((edge >= 0) & (edge <= (width - 1, height - 1)), axis=2)
    radial = np.where(rim_across >= RADIAL * rim_length, rim_across, 0)
    support = mean_where(visible, radial / (radial + strong))
    rim_strength, beside_strength = mean_where(visible, rim_across), mean_where(visible, beside)
    distinct = rim_strength / np.maximum(rim_strength + beside_strength, 1e-6)
    return np.where(visible.mean(axis=1) >= MIN_VISIBLE, np.sqrt(support * distinct), 0)


def mean_where(visible: NDArray[np.bool_], values: FloatArray) -> FloatArray:
    """Mean over the visible angles, 0 where there are none: (n,)."""
    total = np.where(visible, values, 0).sum(axis=1)
    return np.asarray(total / np.maximum(visible.sum(axis=1), 1))


def outline(candidates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rim points relative to the centre, and unit normals there, each (n, angles, 2)."""
    a, b, angle = candidates[:, 2:, None].transpose(1, 0, 2)
    along, beside = np.cos(ANGLES), np.sin(ANGLES)
    turned = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    upright = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    rim = (a * along)[..., None] * turned + (b * beside)[..., None] * upright
    normal = (b * along)[..., None] * turned + (a * beside)[..., None] * upright
    return rim, normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def bilinear(plane: FloatArray, points: FloatArray) -> FloatArray:
    """Values of a plane (H, W) at points (n, angles, rings, 2); 0 outside: (n, angles, rings)."""
    flat = points.reshape(-1, points.shape[2], 2).astype(np.float32)
    x, y = np.ascontiguousarray(flat[..., 0]), np.ascontiguousarray(flat[..., 1])
    values = cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return values.reshape(points.shape[:3]).astype(np.float64)
