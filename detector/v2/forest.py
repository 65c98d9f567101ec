"""The learned scorer: gradient-boosted trees, read from a small file and walked in machine code."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, compiled

NODE = np.dtype(
    [
        ("stage", "u1"),
        ("feature", "i2"),
        ("threshold", "f4"),
        ("left", "i4"),
        ("right", "i4"),
        ("value", "f4"),
    ]
)
"""A node. stage: 1 or 2 on the root of a tree, 0 on others; feature: -1 on a leaf, which has a value; a
candidate goes left where its feature is at most the threshold. left, right: rows of the same array."""

FOLDER = Path(__file__).parent


class Forest(NamedTuple):
    """One stage: its nodes and the rows where its trees begin."""

    feature: NDArray[np.int16]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats
    roots: NDArray[np.int64]


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
    feature, threshold, left, right, value = (
        np.ascontiguousarray(nodes[name]) for name in ("feature", "threshold", "left", "right", "value")
    )
    roots = np.flatnonzero(nodes["stage"] == stage)
    return Forest(feature, threshold, left, right, value, roots)


def score(stage: Forest, features: Floats) -> Floats:
    """The trees' sum for each row of features (n, features): log odds (n,)."""
    return walk(*stage, features)


@compiled
def walk(
    feature: NDArray[np.int16],
    threshold: Floats,
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: Floats,
    roots: NDArray[np.int64],
    features: Floats,
) -> Floats:
    out = np.zeros(len(features), np.float32)
    for root in roots:  # trees outermost: one tree stays in the nearest cache for all rows
        for n in range(len(features)):
            node = root
            while feature[node] >= 0:
                node = left[node] if features[n, feature[node]] <= threshold[node] else right[node]
            out[n] += value[node]
    return out
