"""Trees in compiled code say what LightGBM says, and the committed ones fit the features."""

from __future__ import annotations

import json

import lightgbm
import numpy as np
import pytest

from detector.training.fit import PARAMETERS, joined, nodes_of
from detector.v2 import fine, neighbours, propose
from detector.v2.compiled import Floats
from detector.v2.forest import FOLDER, NODE, as_scorer, forest, score


def random_features(rows: int) -> Floats:
    table = np.random.default_rng(rows).normal(size=(rows, 12)).astype(np.float32)
    table[:, 3] = np.round(table[:, 3])  # ties with thresholds
    return table


@pytest.fixture(scope="module")
def trained() -> lightgbm.Booster:
    table = random_features(2000)
    target = 1 / (1 + np.exp(-(table[:, 0] * table[:, 1] + table[:, 3])))
    return lightgbm.train({**PARAMETERS, "num_threads": 1}, lightgbm.Dataset(table, target), 15)


def test_a_walk_is_lightgbms_prediction(trained: lightgbm.Booster) -> None:
    table = random_features(1500)
    expected = trained.predict(table, raw_score=True)
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(score(forest(nodes_of(trained, 1), 1), table), expected, atol=1e-5)


def test_both_stages_in_one_file(trained: lightgbm.Booster) -> None:
    first = nodes_of(trained, 1)
    both = joined(first, nodes_of(trained, 2))
    inner = both["feature"] >= 0
    rows = np.arange(len(both))
    assert (both["next"][inner] > rows[inner]).all()
    assert len(set(both["next"][inner])) == inner.sum(), "each has two of its own"
    assert both["next"][: len(first)].max() + 1 < len(first)
    scorer = as_scorer(both, 1.0, 0.0)
    table = random_features(50)
    np.testing.assert_array_equal(score(scorer.second, table), score(scorer.first, table))


def test_the_committed_trees_stay_within_their_rows_and_features() -> None:
    """Compiled code checks no bounds."""
    nodes = np.load(FOLDER / "scorer.npy")
    facts = json.loads((FOLDER / "scorer.json").read_text())
    assert nodes.dtype == NODE
    assert facts["features"] == [*propose.NAMES, *fine.NAMES, *neighbours.NAMES]
    roots = np.flatnonzero(nodes["stage"])
    assert (nodes["stage"][roots] == np.sort(nodes["stage"][roots])).all()
    beyond = int(roots[nodes["stage"][roots] == 2][0])
    inner = nodes["feature"] >= 0
    rows = np.arange(len(nodes))
    assert (nodes["next"][inner] > rows[inner]).all(), "every walk ends"
    assert (nodes["next"][inner] + 1 < len(nodes)).all()
    assert nodes["feature"][:beyond].max() < len(propose.NAMES)
    assert nodes["feature"].max() < len(facts["features"])
    assert np.isfinite(nodes["value"]).all()
