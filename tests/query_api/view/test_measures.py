"""What circles measure, gathered from where it stands."""

from __future__ import annotations

import numpy as np
import pytest

from query_api.view import measures
from query_api.view.columns import Rows, Words, empty
from query_api.view.measures import Measures, closed_up, of_rows, standing


@pytest.mark.parametrize("few", [0, 1_000], ids=["one by one", "in stretches"])
def test_it_is_what_stands_at_the_places_of_rows(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "FEW", few)
    random = np.random.default_rng(1)
    for _ in range(50):
        many = random.integers(0, 4, random.integers(30))
        begins = np.cumsum(many) - many + 5 * np.sort(random.integers(0, 3, len(many)))
        mixed = random.permutation(len(many))
        rows = Rows(empty(len(many)) | {"many": many[mixed], "begin": begins[mixed]}, slice(None), Words())
        array = random.random(100 + many.sum()).astype(np.float32)

        def found(measured: Measures, rows: Rows) -> list[list[float]]:
            places = zip(rows["begin"].tolist(), rows["many"].tolist(), strict=True)
            return [measured[begin : begin + count].tolist() for begin, count in places]

        expected = found(array, rows)
        there = standing(rows)
        assert of_rows(array, rows.where(there)).tolist() == [
            x for n in np.arange(len(rows))[there] for x in expected[n]
        ]
        closed = closed_up({"radius": array}, rows)["radius"]
        assert len(closed) == many.sum()
        assert found(closed, rows) == expected
