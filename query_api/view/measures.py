"""What circles measure: those of an image together, those of many images in any order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from query_api.view.columns import Rows

FEW = 1_000
"""Stretches that are copied one by one."""
Measures = NDArray[np.float32]


def standing(rows: Rows) -> NDArray[np.int64] | NDArray[np.bool_]:
    """Which rows have circles, in the order in which these stand: places, or where it is true."""
    there = rows["many"] > 0
    begins = rows["begin"][there]
    if (begins[1:] > begins[:-1]).all():
        return there
    return np.flatnonzero(there)[np.argsort(begins, kind="stable")]


def of_rows(array: Measures, rows: Rows) -> Measures:
    """(sum of many,) what the circles of rows measure, which are as `standing` has them."""
    begins, many = rows["begin"], rows["many"]
    if not len(rows):
        return array[:0]
    first = np.flatnonzero(np.concatenate(([True], begins[1:] != begins[:-1] + many[:-1])))
    begins, many = begins[first], np.add.reduceat(many, first)
    if len(begins) == 1:
        return array[begins[0] : begins[0] + many[0]]
    if len(begins) <= FEW:
        ends = (begins + many).tolist()
        return np.concatenate([array[b:e] for b, e in zip(begins.tolist(), ends, strict=True)])
    ends = np.cumsum(many)
    places = np.repeat(begins - (ends - many), many) + np.arange(ends[-1])
    return np.asarray(array[places], np.float32)


def closed_up(arrays: Mapping[str, Measures], rows: Rows) -> dict[str, Measures]:
    """The same of rows alone, which say from now on where it stands there."""
    there = standing(rows)
    found = {name: of_rows(array, rows.where(there)) for name, array in arrays.items()}
    many = rows["many"][there]
    rows["begin"][there] = np.cumsum(many) - many
    return found
