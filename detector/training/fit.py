"""Two stages of boosted trees (LightGBM), and the file they are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from detector.circles import FloatArray
from detector.training.examples import Example
from detector.v2 import network
from detector.v2.fine import Fine
from detector.v2.forest import NODE, forest, score
from detector.v2.model import WORTH_A_LOOK, logistic, second_features

RIGHT = 0.5
"""IoU from which a candidate is a circle found; how much of one grows up to GOOD."""
GOOD = 0.9

PARAMETERS = {
    "objective": "cross_entropy",
    "num_leaves": 24,
    "learning_rate": 0.08,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 127,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbose": -1,
}
TREES = (200, 280)

WITHOUT_NETWORK = 5
"""One of so many examples is learned without the network's word, as some candidates have none. Not a multiple
of a photograph's variants, so that each of them has its turn."""

Weighted = tuple[Example, float]


def fit(examples: Sequence[Weighted]) -> NDArray[np.void]:
    """Both stages as rows of `forest.NODE`, the first stage's first.

    The second stage sees first scores of a model that was not trained on the same picture.
    """
    examples = [
        (unasked(example), weight) if n % WITHOUT_NETWORK == 0 else (example, weight)
        for n, (example, weight) in enumerate(examples)
    ]
    half = np.arange(len(examples)) // 8 % 2  # variants of one photograph stay together
    groups = [[example for example, h in zip(examples, half, strict=True) if h != k] for k in (0, 1)]
    others = [forest(nodes_of(first_stage(group), 1), 1) for group in groups]
    rows, targets, weights = [], [], []
    for (example, weight), h in zip(examples, half, strict=True):
        scores = logistic(score(others[h], example.candidates.features))
        looked = np.flatnonzero(scores >= WORTH_A_LOOK)
        fine = Fine(example.fine.ellipses[looked], example.fine.features[looked])
        rows.append(second_features(example.candidates.features[looked], fine, scores[looked]))
        targets.append(target(example.fine_iou[looked]))
        weights.append(weight * certain(example.fine_iou[looked], example.doubtful[looked]))
    second = train(np.concatenate(rows), np.concatenate(targets), np.concatenate(weights), TREES[1])
    return joined(nodes_of(first_stage(examples), 1), nodes_of(second, 2))


def unasked(example: Example) -> Example:
    """The same candidates, of which the network said nothing."""
    features = example.candidates.features.copy()
    features[:, -len(network.NAMES) :] = network.SILENT
    return example._replace(candidates=example.candidates._replace(features=features))


def first_stage(examples: Sequence[Weighted]) -> lightgbm.Booster:
    features = np.concatenate([example.candidates.features for example, _ in examples])
    targets = np.concatenate([target(example.iou) for example, _ in examples])
    weights = np.concatenate([weight * certain(e.iou, e.doubtful) for e, weight in examples])
    return train(features, targets, weights, TREES[0])


def target(iou: FloatArray) -> FloatArray:
    """How good a candidate is, 0 to 1: the better of two on one disc shall win."""
    grown = (iou - RIGHT + 0.05) / (GOOD - RIGHT + 0.05)
    return np.where(iou >= RIGHT, np.clip(grown, 0, 1), 0)


def certain(iou: FloatArray, doubtful: NDArray[np.bool_]) -> FloatArray:
    """The weight of a candidate: little where it is nearly right, none where nobody can tell."""
    nearly = (iou > 0.4) & (iou < RIGHT)
    return np.where(doubtful & (iou < RIGHT), 0, np.where(nearly, 0.3, 1.0))


def train(
    features: NDArray[np.float32], targets: FloatArray, weights: FloatArray, trees: int
) -> lightgbm.Booster:
    return lightgbm.train(PARAMETERS, lightgbm.Dataset(features, targets, weight=weights), trees)


def nodes_of(model: lightgbm.Booster, stage: int) -> NDArray[np.void]:
    """A trained model as rows of `forest.NODE`."""
    rows: list[tuple[Any, ...]] = []
    for tree in model.dump_model()["tree_info"]:
        level = [tree["tree_structure"]]
        root = stage
        while level:  # breadth first: two that share a parent lie side by side
            below = [child for node in level for child in children(node)]
            follows = len(rows) + len(level)
            for node in level:
                if "leaf_value" in node:
                    rows.append((root, -1, 0, 0, node["leaf_value"]))
                else:
                    rows.append((root, node["split_feature"], node["threshold"], follows, 0))
                    follows += 2
            level, root = below, 0
    return np.array(rows, NODE)


def children(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [] if "leaf_value" in node else [node["left_child"], node["right_child"]]


def joined(first: NDArray[np.void], second: NDArray[np.void]) -> NDArray[np.void]:
    moved = second.copy()
    moved["next"] += len(first)
    return np.concatenate([first, moved])
