"""The figures of a comparison from what its parts say of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.evaluation.comparison import Counts, ImageChange, OfHour, OfRadius, OfSource, Spread
from streams.evaluation.found import Floats, Longs
from streams.evaluation.images import BANDS_PX, COUNTS, Part

WORST_COLUMNS = [field.name for field in fields(ImageChange)]


class Summary(NamedTuple):
    """Members of a Comparison by the same names."""

    counts: Counts
    shift_px: Spread | None
    radius_change_px: Spread | None
    score_change: Spread | None
    by_source: list[OfSource]
    by_radius: list[OfRadius]
    by_hour: list[OfHour]
    worst: list[ImageChange]


def summarise(parts: Sequence[Part], worst: int) -> Summary:
    """Of at least one image. worst: how many images to name."""
    images = pa.concat_tables([part.images for part in parts])
    order = worst_first(images)
    changed = images["changed"].to_numpy()
    first = order[changed[order]][:worst]
    (everything,) = grouped(images, order, pa.repeat("all", len(images))).values()
    by_source = grouped(images, order, images["source_id"])
    by_hour = grouped(images, order, pc.floor_temporal(images["uploaded_at"], unit="hour"))
    return Summary(
        counts=Counts(**everything),
        shift_px=spread(parts, images, "shift_px"),
        radius_change_px=spread(parts, images, "radius_change_px"),
        score_change=spread(parts, images, "score_change"),
        by_source=[OfSource(source=source, **counts) for source, counts in by_source.items()],
        by_radius=by_radius(parts, images),
        by_hour=[OfHour(hour=hour, **counts) for hour, counts in by_hour.items()],
        worst=[ImageChange(**row) for row in images.select(WORST_COLUMNS).take(first).to_pylist()],
    )


def worst_first(images: pa.Table) -> Longs:
    """Rows: the most gained and lost first, then the largest shift, then by id."""
    changes = images["gained"].to_numpy() + images["lost"].to_numpy()
    return np.lexsort([-images["largest_shift_px"].to_numpy(), -changes])  # rows come in the order of ids


def grouped(images: pa.Table, order: Longs, key: Any) -> dict[Any, dict[str, Any]]:
    """Counts of the images by their key, in the order of keys, none last. order: rows, worst first."""
    encoded = pc.dictionary_encode(key, null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    keys, group = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    sums = {name: np.bincount(group, images[name].to_numpy()) for name in ("changed", "only_moved", *COUNTS)}
    sums["images"] = np.bincount(group)
    sums["unchanged"] = sums["images"] - sums["changed"]
    groups, first = np.unique(group[order], return_index=True)
    worst = images["image_id"].take(order[first]).to_pylist()
    found = {
        keys[number]: {name: int(values[number]) for name, values in sums.items()} | {"worst_image": image}
        for number, image in zip(groups.tolist(), worst, strict=True)
    }
    return dict(sorted(found.items(), key=lambda item: (item[0] is None, item[0])))


def by_radius(parts: Sequence[Part], images: pa.Table) -> list[OfRadius]:
    """Bands that have circles."""
    begins = np.cumsum([0, *(len(part.images) for part in parts[:-1])])
    found = []
    for band, (low, high) in enumerate(zip(BANDS_PX, (*BANDS_PX[1:], None), strict=True)):
        with_any = [n for n, part in enumerate(parts) if part.bands.counts["images"][band]]
        if not with_any:
            continue
        totals = {name: sum(int(p.bands.counts[name][band]) for p in parts) for name in parts[0].bands.counts}
        totals["unchanged"] = totals["images"] - totals["changed"]
        rows = {n: int(begins[n] + parts[n].bands.worst[band]) for n in with_any}
        shift = {n: images["largest_shift_px"][row].as_py() for n, row in rows.items()}
        worst = max(with_any, key=lambda n: (parts[n].bands.worst_changes[band], shift[n], -n))
        image = images["image_id"][rows[worst]].as_py()
        found.append(OfRadius(from_px=low, below_px=high, worst_image=image, **totals))
    return found


def spread(parts: Sequence[Part], images: pa.Table, name: str) -> Spread | None:
    """None without a pair of circles. name: of a member of the parts."""
    values: Floats = np.concatenate([getattr(part, name) for part in parts])
    if not len(values):
        return None
    with_any = images["matched"].to_numpy() > 0
    largest = int(np.where(with_any, images[f"largest_{name}"].to_numpy(), -1).argmax())
    mean = float(values.mean(dtype=float))
    np.abs(values, out=values)
    median, p90 = np.quantile(values, [0.5, 0.9], overwrite_input=True, method="linear")
    return Spread(float(median), float(p90), float(values.max()), mean, images["image_id"][largest].as_py())
