"""The learned scorer: gradient-boosted trees, read from a small file and walked in machine code."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, compiled

NODE = np.dtype([("stage", "u1"), ("feature", "i2"), ("threshold", "f4"), ("next", "i4"), ("value", "f4")])
"""A node. stage: 1 or 2 on the root of a tree, 0 on others; feature: -1 on a leaf, which has a value; next:
the row, later than this one, to which a candidate goes whose feature is at most the threshold; others go
to the row after that."""

FOLDER = Path(__file__).parent


class Forest(NamedTuple):
    """One stage: (n,) nodes as in NODE; of each tree, (trees,), its root and the steps to its lowest leaf.

    A leaf leads to itself, whatever the features: so all candidates walk a tree side by side.
    """

    feature: NDArray[np.int32]
    threshold: Floats
    next: NDArray[np.int32]
    value: Floats
    roots: NDArray[np.int32]
    steps: NDArray[np.int32]


class Scorer(NamedTuple):
    """Both stages, and what turns the second's sum into the share of such circles that are right."""

    first: Forest
    second: Forest
    slope: float
    offset: float


@cache
def scorer() -> Scorer:
    """The committed scorer. Its card is scorer.md beside it."""
    facts: dict[str, Any] = json.loads((FOLDER / "scorer.json").read_text())
    return as_scorer(np.load(FOLDER / "scorer.npy"), facts["slope"], facts["offset"])


def as_scorer(nodes: NDArray[np.void], slope: float, offset: float) -> Scorer:
    return Scorer(forest(nodes, 1), forest(nodes, 2), slope, offset)


def forest(nodes: NDArray[np.void], stage: int) -> Forest:
    """The trees of one stage; nodes (n,) of NODE."""
    leaf = nodes["feature"] < 0
    rows = np.arange(len(nodes), dtype=np.int32)
    feature = np.where(leaf, 0, nodes["feature"]).astype(np.int32)
    threshold = np.where(leaf, np.float32(np.inf), nodes["threshold"]).astype(np.float32)
    follows = np.where(leaf, rows, nodes["next"]).astype(np.int32)
    below = np.zeros(len(nodes), np.int32)
    for row in np.flatnonzero(~leaf)[::-1]:
        below[row] = 1 + below[follows[row] : follows[row] + 2].max()
    roots = np.flatnonzero(nodes["stage"] == stage).astype(np.int32)
    return Forest(feature, threshold, follows, np.ascontiguousarray(nodes["value"]), roots, below[roots])


def score(stage: Forest, features: Floats) -> Floats:
    """The trees' sum for each row of features (n, features): log odds (n,)."""
    return walk(*stage, features)


@compiled
def walk(
    feature: NDArray[np.int32],
    threshold: Floats,
    follows: NDArray[np.int32],
    value: Floats,
    roots: NDArray[np.int32],
    steps: NDArray[np.int32],
    features: Floats,
) -> Floats:
    out = np.zeros(len(features), np.float32)
    at = np.empty(len(features), np.uint32)
    for tree in range(len(roots)):  # outermost, so that one tree stays in the nearest cache for all rows
        at[:] = roots[tree]
        for _ in range(steps[tree]):
            for n in range(len(features)):  # no branch: the next row's loads need not wait for this one's
                node = at[n]
                beyond = features[n, np.uint32(feature[node])] > threshold[node]
                at[n] = np.uint32(follows[node]) + np.uint32(beyond)
        for n in range(len(features)):
            out[n] += value[at[n]]
    return out
