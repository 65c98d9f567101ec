"""Where circles may be: ellipses of edge segments, and circles of a Hough transform.

A candidate is a row (x, y, a, b, angle): centre and half axes in pixels, the angle of axis a in
radians. Pixel centres lie at whole numbers here, as everywhere in OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.circles import FloatArray

MIN_AXIS_RATIO = 0.75
"""A coin seen at up to 40 degrees from its axis; what is flatter is something else."""

MIN_RADIUS = 1 / 50
"""Of the image's long side: below this, print and texture are full of round spots."""

MAX_RADIUS = 0.75
"""Of the image's short side: a circle may be cut by the frame, but not be mostly outside."""

MAX_EDGE_FRACTION = 0.25
"""Most pixels whose gradient may pass EdgeDrawing's threshold, see `edge_threshold`."""

HOUGH_SIDE = 320
"""Long side for the Hough transform: a quarter of the pixels finds as many circles."""


def candidates(planes: NDArray[np.uint8]) -> FloatArray:
    """Propose circles, with doubles and many false ones.

    planes: (H, W, channels), lightness first. Returns (n, 5).
    """
    channels = [np.ascontiguousarray(planes[..., i]) for i in range(planes.shape[2])]
    sources = [ellipses(channel) for channel in channels if np.ptp(channel) > 0]
    proposed: FloatArray = np.concatenate([hough(channels[0]), *sources])
    height, width = planes.shape[:2]
    longer, shorter = proposed[:, 2:4].max(axis=1), proposed[:, 2:4].min(axis=1)
    plausible = (
        np.isfinite(proposed).all(axis=1)
        & (shorter > MIN_AXIS_RATIO * longer)
        & (shorter >= MIN_RADIUS * max(height, width))
        & (longer <= MAX_RADIUS * min(height, width))
    )
    return np.asarray(proposed[plausible])


def ellipses(plane: NDArray[np.uint8]) -> FloatArray:
    """Circles and ellipses of edge segments: EDCircles (Akinlar and Topal 2013). (n, 5)."""
    params = cv2.ximgproc.EdgeDrawing.Params()
    params.GradientThresholdValue = edge_threshold(plane)
    drawing = cv2.ximgproc.createEdgeDrawing()
    drawing.setParams(params)
    drawing.detectEdges(plane)
    found = drawing.detectEllipses()
    if found is None:
        return np.empty((0, 5))
    # OpenCV gives a circle as (x, y, radius, 0, 0, 0), an ellipse as (x, y, 0, a, b, degrees).
    x, y, radius, a, b, degrees = found.reshape(-1, 6).T
    return np.stack([x, y, radius + a, radius + b, np.deg2rad(degrees)], axis=1)


def edge_threshold(plane: NDArray[np.uint8]) -> int:
    """The gradient of an edge pixel: OpenCV's own 20, raised until few enough pixels pass.

    On dense textures EdgeDrawing of OpenCV 4.14 has corrupted the heap and ended the process;
    with fewer edge pixels we have not seen it. This mitigates the fault and proves nothing:
    whatever process runs this model has to be one that can be restarted.
    """
    smooth = cv2.GaussianBlur(plane, (5, 5), 1.0)
    prewitt = np.outer([1, 1, 1], [-1, 0, 1]).astype(np.float32)
    gradient = np.abs(cv2.filter2D(smooth, cv2.CV_32F, prewitt))
    gradient += np.abs(cv2.filter2D(smooth, cv2.CV_32F, prewitt.T))
    return max(20, int(np.ceil(np.quantile(gradient[::3, ::3], 1 - MAX_EDGE_FRACTION))))


def hough(plane: NDArray[np.uint8]) -> FloatArray:
    """Circles of OpenCV's HOUGH_GRADIENT_ALT, found on a smaller copy: (n, 5).

    It votes along gradients, so it joins the pieces of a rim that segments leave apart.
    """
    height, width = plane.shape
    scale = max(1.0, max(height, width) / HOUGH_SIDE)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    found = cv2.HoughCircles(
        cv2.GaussianBlur(small, (5, 5), 1.0),
        cv2.HOUGH_GRADIENT_ALT,
        dp=1.5,
        minDist=4,
        param1=200,
        param2=0.85,
        minRadius=max(2, int(MIN_RADIUS * max(size))),
    )
    if found is None:
        return np.empty((0, 5))
    x, y, radius = found.reshape(-1, found.shape[-1])[:, :3].astype(np.float64).T * scale
    shift = (scale - 1) / 2  # pixel centres at whole numbers, on either scale
    return np.stack([x + shift, y + shift, radius, radius, np.zeros_like(x)], axis=1)
