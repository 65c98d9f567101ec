"""A small convolutional network's guess where discs are and how large: more seeds, and evidence.

For each cell of CELL pixels and each of BINS radii, in even steps of their logarithm, it says how likely a
disc of about that radius has its centre there, and where exactly: as CenterNet (Zhou, Wang and
Kraehenbuehl 2019, "Objects as Points") with radii apart, so that discs around one centre are several.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, Real, compiled

FILE = Path(__file__).parent / "network.onnx"

CELL = 8
BINS = 12
SMALLEST, LARGEST = 5.0, 230.0
RADII = np.geomspace(SMALLEST, LARGEST, BINS).astype(np.float32)
"""Pixels of the searched picture."""
STEP = np.float32(np.log(LARGEST / SMALLEST) / (BINS - 1))
"""From one radius to the next, of the logarithm."""
MULTIPLE = 32
"""Pixels by which the sides of a picture are filled up."""
MIDDLE, SPREAD = np.float32(128), np.float32(64)
"""Of a plane's values, which are taken from the one and divided by the other."""
LIKELY, ACROSS, DOWN, LARGER = range(4)
"""What it says: a likelihood; the way to the centre in radii of the bin; steps to the radius."""

LEAST = np.float32(0.05)
MOST = 48
"""Guesses of a picture, and the least likely of them."""

AROUND, ALIKE = np.float32(0.6), np.float32(0.5)
"""A guess says something of a candidate that is closer: in radii, and in the logarithm of its radius."""
NEAR = np.float32(0.08)
"""Sum of both squares at which the nearer of two guesses says more though the other is e times as likely."""
NOTHING = np.float32(2)
"""Where no guess says anything."""
SURE = (np.float32(6), np.float32(115))
"""Pixels of radius between which it has seen enough discs to be asked."""
UNASKED = np.float32(-1)
"""What stands for a likelihood where the network cannot know: beyond those, and around centres outside."""

NAMES = ("net_here", "net_near", "net_larger", "net_apart")
"""Features: the likelihood at a candidate's centre and radius; the likelihood of the guess that says most of
it, the logarithm of its radius over the candidate's, and how far away it is in radii."""

SILENT = (UNASKED, UNASKED, NOTHING, NOTHING)
"""Features of a candidate that it is not asked about."""


class Glance(NamedTuple):
    """said: (4, BINS, rows, columns); guesses: (n, 4) x, y, radius in pixels, likelihood, best first; of a
    picture of so many pixels."""

    said: Floats
    guesses: Floats
    width: int
    height: int


class Networks(threading.local):
    """Those of a thread, by the picture's shape: none may be used by two threads at once."""

    def __init__(self) -> None:
        self.by_shape: dict[tuple[int, ...], cv2.dnn.Net] = {}

    def of(self, shape: tuple[int, ...]) -> cv2.dnn.Net:
        if shape not in self.by_shape:
            if len(self.by_shape) == SHAPES:
                self.by_shape.clear()
            self.by_shape[shape] = cv2.dnn.readNetFromONNX(weights())
        return self.by_shape[shape]


SHAPES = 4
"""Kept by a thread, some megabytes each: another shape takes as long as reading the network anew."""
NETWORKS = Networks()


@cache
def weights() -> NDArray[np.uint8]:
    return np.frombuffer(FILE.read_bytes(), np.uint8)


def glance(small: NDArray[np.uint8]) -> Glance:
    """What the network says of a picture, (H, W, 3) or (H, W), at the scale where circles are sought."""
    height, width = small.shape[:2]
    tall, wide = (-(-side // MULTIPLE) * MULTIPLE for side in (height, width))
    if small.ndim == 2:
        small = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    grey = (float(MIDDLE),) * 3
    filled = cv2.copyMakeBorder(small, 0, tall - height, 0, wide - width, cv2.BORDER_CONSTANT, value=grey)
    planes = cv2.dnn.blobFromImage(filled, 1 / float(SPREAD), mean=grey)
    network = NETWORKS.of(planes.shape)
    network.setInput(planes)
    answer = np.asarray(network.forward(), np.float32)
    said = answer.reshape(4, BINS, tall // CELL, wide // CELL)
    said[LIKELY] = 1 / (1 + np.exp(-said[LIKELY]))
    found = peaks(said)
    return Glance(said, found[np.argsort(-found[:, 3], kind="stable")][:MOST], width, height)


@compiled
def peaks(said: Floats) -> Floats:
    """Guesses (n, 4): where none of the 26 around is likelier."""
    _, bins, rows, columns = said.shape
    found = np.empty((bins * rows * columns, 4), np.float32)
    n = 0
    for b in range(bins):
        for i in range(rows):
            for j in range(columns):
                likely = said[LIKELY, b, i, j]
                if likely < LEAST or not top(said[LIKELY], b, i, j):
                    continue
                radius = RADII[b]
                found[n, 0] = CELL * (j + np.float32(0.5)) - np.float32(0.5) + radius * said[ACROSS, b, i, j]
                found[n, 1] = CELL * (i + np.float32(0.5)) - np.float32(0.5) + radius * said[DOWN, b, i, j]
                found[n, 2] = radius * np.exp(STEP * said[LARGER, b, i, j])
                found[n, 3] = likely
                n += 1
    return found[:n]


@compiled
def top(likely: Floats, b: int, i: int, j: int) -> bool:
    bins, rows, columns = likely.shape
    for other in range(max(0, b - 1), min(bins, b + 2)):
        for row in range(max(0, i - 1), min(rows, i + 2)):
            for column in range(max(0, j - 1), min(columns, j + 2)):
                if likely[other, row, column] > likely[b, i, j]:
                    return False
    return True


@compiled
def evidence(said: Floats, guesses: Floats, width: int, height: int, candidates: Floats, out: Floats) -> None:
    """What a glance says of candidates (n, 5): to the columns of out (n, len(NAMES))."""
    for n in range(len(candidates)):
        x, y = candidates[n, 0], candidates[n, 1]
        radius = np.sqrt(candidates[n, 2] * candidates[n, 3])
        inside = x >= 0 and y >= 0 and x < width and y < height
        if not (inside and SURE[0] <= radius <= SURE[1]):
            out[n, 0], out[n, 1], out[n, 2], out[n, 3] = SILENT
            continue
        out[n, 0] = here(said[LIKELY], x, y, radius)
        out[n, 1], out[n, 2], out[n, 3] = np.float32(0), NOTHING, NOTHING
        most = np.float32(0)
        for m in range(len(guesses)):
            dx, dy = (guesses[m, 0] - x) / radius, (guesses[m, 1] - y) / radius
            larger, apart = np.log(guesses[m, 2] / radius), np.sqrt(dx * dx + dy * dy)
            if apart < AROUND and abs(larger) < ALIKE:
                says = guesses[m, 3] * np.exp(-(apart * apart + larger * larger) / NEAR)
                if says > most:
                    most = says
                    out[n, 1], out[n, 2], out[n, 3] = guesses[m, 3], larger, apart


@compiled
def here(likely: Floats, x: Real, y: Real, radius: Real) -> Real:
    """The likelihood (bins, rows, columns) between the eight places around a centre and a radius."""
    bins, rows, columns = likely.shape
    half = np.float32(0.5)
    u = between((x + half) / CELL - half, columns)
    v = between((y + half) / CELL - half, rows)
    w = between(np.log(radius / RADII[0]) / STEP, bins)
    j, i, b = int(u), int(v), int(w)
    fu, fv, fw = u - np.float32(j), v - np.float32(i), w - np.float32(b)
    found = np.float32(0)
    for k in range(2):
        plane = likely[b + k]
        upper = plane[i, j] + fu * (plane[i, j + 1] - plane[i, j])
        lower = plane[i + 1, j] + fu * (plane[i + 1, j + 1] - plane[i + 1, j])
        found += (fw if k else 1 - fw) * (upper + fv * (lower - upper))
    return found


@compiled
def between(place: Real, places: int) -> Real:
    """A place with its next one among so many, or more than one."""
    return min(max(place, np.float32(0)), np.float32(places - 1.001))
