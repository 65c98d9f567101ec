"""How two versions differ on each image, and on each pair of circles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.evaluation.found import Floats, Found, Longs
from streams.evaluation.matching import Iou, Pairs, match_images

BANDS_PX = (0, 5, 10, 20, 40, 80, 160)
"""Where bands of radii begin."""
_BANDS = np.array(BANDS_PX, np.float32)  # with other numbers each search would first convert all radii
COUNTS = ("a_circles", "b_circles", "matched", "gained", "lost", "moved")


def band_name(low: float, high: float | None) -> str:
    """Of radii from one to below another."""
    return f"{low:g} and more" if high is None else f"{low:g} to below {high:g}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which circles are the same, and which of these have moved."""

    min_iou: float = 0.5
    iou: Iou = "circle"
    moved_px: float = 1.0
    """A circle moved if its centre or its radius differs by more."""


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """The same images by the radius of circles, (bands,) each.

    What is matched, lost and moved is in the band of its radius in a, what is gained in that of b.
    """

    counts: dict[str, Longs]
    """COUNTS; `images` that have circles in the band, and those `changed` and `only_moved` in it."""
    worst: Longs
    """The image that changed most in the band, as a row of `Part.images`; of what `images` is 0: any."""
    worst_changes: Longs
    """What that image gained and lost in the band."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What there is to say of n images and the k pairs of circles in them."""

    images: pa.Table
    """A row each: image_id, source_id, uploaded_at, COUNTS, `changed` and `only_moved`, and of its pairs
    largest_shift_px, largest_radius_change_px and largest_score_change, 0 without any."""
    bands: Bands
    shift_px: Floats
    """Of the centres, (k,)."""
    radius_change_px: Floats
    """What b has more, (k,)."""
    score_change: Floats
    """What b has more, (k,)."""


def compare_images(images: pa.Table, a: Found, b: Found, rule: Rule) -> Part:
    """images: image_id, source_id, uploaded_at of the images that a and b are of."""
    pairs = match_images(a, b, rule.min_iou, rule.iou)
    shift, radius, score = changes(a, b, pairs)
    moved = (shift > rule.moved_px) | (np.abs(radius) > rule.moved_px)
    cells = by_band(a, b, pairs, moved)
    columns: dict[str, NDArray[Any]] = {n: counts.sum(axis=1, dtype=np.int32) for n, counts in cells.items()}
    columns["changed"], columns["only_moved"] = changed(columns)
    image = a.images[pairs.a]
    sizes = {"shift_px": shift, "radius_change_px": np.abs(radius), "score_change": np.abs(score)}
    for name, values in sizes.items():
        columns[f"largest_{name}"] = largest = np.zeros(len(images), np.float32)
        np.maximum.at(largest, image, values)
    for name, column in columns.items():
        images = images.append_column(name, pa.array(column))
    return Part(images, bands(cells, columns["largest_shift_px"]), shift, radius, score)


def changed(counts: dict[str, NDArray[Any]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where anything was gained, lost or moved; and where nothing was gained or lost then."""
    other, moved = counts["gained"] + counts["lost"] > 0, counts["moved"] > 0
    return other | moved, ~other & moved


def changes(a: Found, b: Found, pairs: Pairs) -> tuple[Floats, Floats, Floats]:
    """Of each pair: how far the centres are apart, and what radius and score are more in b, (pairs,) each."""
    x, y, radius, score = (
        of_b[pairs.b].astype(float) - of_a[pairs.a]
        for of_a, of_b in ((a.x, b.x), (a.y, b.y), (a.radius, b.radius), (a.score, b.score))
    )
    return np.hypot(x, y).astype(np.float32), radius.astype(np.float32), score.astype(np.float32)


def by_band(a: Found, b: Found, pairs: Pairs, moved: NDArray[np.bool_]) -> dict[str, Longs]:
    """COUNTS of each image and band, (images, bands) each."""
    cell_a, cell_b = (
        found.images * len(BANDS_PX) + np.searchsorted(_BANDS, found.radius, side="right") - 1
        for found in (a, b)
    )
    lost, gained = (np.ones(len(cells), bool) for cells in (cell_a, cell_b))
    lost[pairs.a] = gained[pairs.b] = False
    cells = {
        "a_circles": cell_a, "b_circles": cell_b, "matched": cell_a[pairs.a], "gained": cell_b[gained],
        "lost": cell_a[lost], "moved": cell_a[pairs.a[moved]],
    }  # fmt: skip
    shape = (len(a.offsets) - 1, len(BANDS_PX))
    return {name: np.bincount(c, minlength=shape[0] * shape[1]).reshape(shape) for name, c in cells.items()}


def bands(cells: dict[str, Longs], shift_px: Floats) -> Bands:
    """cells: as `by_band` says; shift_px: the largest of each image, orders those that changed equally."""
    present = cells["a_circles"] + cells["b_circles"] > 0
    changes = cells["gained"] + cells["lost"]
    below_one = shift_px / (shift_px.max(initial=0) + 1)
    worst = np.where(present, changes + below_one[:, None], -1).argmax(axis=0)
    differs, only_moved = changed(cells)
    counts = {"images": present, "changed": differs, "only_moved": only_moved, **cells}
    totals = {name: each.sum(axis=0) for name, each in counts.items()}
    return Bands(totals, worst, changes[worst, np.arange(len(worst))])
