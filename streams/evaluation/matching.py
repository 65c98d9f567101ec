"""Which circle of one version is which of another, of many images at once.

The ruler is `detector.evaluation`'s: one to one, each pair with an IoU of at least a threshold, as many
pairs as there can be and of all such pairings the one with the largest sum of IoU. Nearly all circles have
one candidate that has no other, which needs no choice; only what hangs together otherwise is assigned.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from detector.circles import FloatArray
from detector.evaluation.matching import match
from detector.evaluation.overlap import paired_box_iou, paired_circle_iou
from streams.evaluation.candidates import Doubles, Sides, candidates
from streams.evaluation.found import Found, Longs

Iou: TypeAlias = Literal["circle", "box"]
"""Of whole circles, by centre and radius, or of their boxes, which the image clips."""


class Pairs(NamedTuple):
    """Indices of circles of a, in order, and of b, and their IoU, (pairs,) each; no index comes twice."""

    a: Longs
    b: Longs
    iou: FloatArray


def match_images(a: Found, b: Found, threshold: float = 0.5, iou: Iou = "circle") -> Pairs:
    """The pairs of all images, whatever the order of the circles in each; a and b are of the same images.

    threshold: above 0, at most 1.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"an IoU of at least {threshold:g}: it has to be above 0 and at most 1")
    near = edges(a, b, threshold, iou)
    alone = (np.bincount(near.a)[near.a] == 1) & (np.bincount(near.b)[near.b] == 1)
    chosen = alone.copy()
    chosen[~alone] = assigned(Pairs(*(column[~alone] for column in near)), a, b, threshold)
    return Pairs(*(column[chosen] for column in near))


def edges(a: Found, b: Found, threshold: float, iou: Iou) -> Pairs:
    """All pairs with at least that IoU: here an index may come more than once."""
    sides = (sides_of(a, iou), sides_of(b, iou))
    areas = (areas_of(a, sides[0], iou), areas_of(b, sides[1], iou))
    i, j = candidates(a, b, sides, areas, threshold)
    if iou == "box":
        one, other = (np.column_stack([side[n] for side in of]) for of, n in zip(sides, (i, j), strict=True))
        values: FloatArray = paired_box_iou(one, other)
    else:
        x, y, radius = (column[i].astype(float) for column in (a.x, a.y, a.radius))
        x2, y2, radius2 = (column[j].astype(float) for column in (b.x, b.y, b.radius))
        values = paired_circle_iou(np.hypot(x - x2, y - y2), radius, radius2)
    enough = values >= threshold
    return Pairs(i[enough], j[enough], values[enough])


def sides_of(found: Found, iou: Iou) -> Sides:
    """Of the boxes that are compared, or of those around the circles that are."""
    if iou == "box":
        if found.box is None:
            raise ValueError("circles without boxes have no box IoU")
        x_min, y_min, x_max, y_max = found.box.T.astype(float, order="C")
        return x_min, y_min, x_max, y_max
    x, y, radius = (column.astype(float) for column in (found.x, found.y, found.radius))
    return x - radius, y - radius, x + radius, y + radius


def areas_of(found: Found, sides: Sides, iou: Iou) -> Doubles:
    """Of what is compared, in square pixels, (k,)."""
    x_min, y_min, x_max, y_max = sides
    if iou == "box":
        return (x_max - x_min) * (y_max - y_min)
    return np.asarray(np.pi * found.radius.astype(float) ** 2)


def assigned(near: Pairs, a: Found, b: Found, threshold: float) -> NDArray[np.bool_]:
    """Which of these pairs are chosen, (pairs,): each connected component is matched by itself.

    Of several pairings that are equally good it is always the same circles, whatever order they came in: they
    are put in the order of their values first.
    """
    if not len(near.a):
        return np.zeros(0, bool)
    (nodes_a, of_a), (nodes_b, of_b) = (np.unique(n, return_inverse=True) for n in (near.a, near.b))
    count = len(nodes_a) + len(nodes_b)
    graph = coo_array((np.ones(len(of_a), bool), (of_a, of_b + len(nodes_a))), (count, count))
    _, component = connected_components(graph, directed=False)
    rows, row_counts = _places(a, nodes_a, component[: len(nodes_a)])
    columns, column_counts = _places(b, nodes_b, component[len(nodes_a) :])
    edge_component = component[of_a]
    order = np.argsort(edge_component, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(edge_component))])
    row, column, iou = rows[of_a][order], columns[of_b][order], near.iou[order]
    chosen = np.zeros(len(order), bool)
    for number, (begin, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        part = slice(begin, end)
        table = np.zeros((row_counts[number], column_counts[number]))
        table[row[part], column[part]] = iou[part]
        pairs = match(table, threshold)
        partner = np.full(len(table), -1)
        partner[pairs.found] = pairs.truth
        chosen[order[part]] = partner[row[part]] == column[part]
    return chosen


def _places(found: Found, nodes: Longs, component: NDArray[np.int32]) -> tuple[Longs, Longs]:
    """The place of each node among those of its component, by their values, (nodes,); nodes by component."""
    values = [found.radius[nodes], found.y[nodes], found.x[nodes], -found.score[nodes]]
    if found.box is not None:
        values = [*found.box[nodes].T, *values]
    order = np.lexsort([*values, component])
    counts = np.bincount(component)
    begin = np.cumsum(counts) - counts
    places = np.empty(len(nodes), np.int64)
    places[order] = np.arange(len(nodes)) - begin[component[order]]
    return places, counts
