"""A view of sixty images that versions have looked at, and what a slow and obvious comparison says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from detector.circles import CIRCLE as DETECTED
from detector.circles import Circles
from detector.evaluation.matching import match
from detector.evaluation.overlap import box_iou, boxes, circle_iou
from streams import lake
from streams.circles import CIRCLE, object_ids
from streams.evaluation.images import BANDS_PX, Rule
from streams.records import CirclesDetected, ImageUploaded
from streams.settings import Settings
from tests.examples import MOMENT, detected, uploaded
from tests.streams.small_view import put

IMAGES = 60


@dataclass(frozen=True)
class Seen:
    """An image, and what versions found in it."""

    upload: ImageUploaded
    found: dict[str, Circles] = field(default_factory=dict)

    @property
    def hour(self) -> datetime:
        return self.upload.uploaded_at.replace(minute=0, second=0, microsecond=0)


def make(settings: Settings) -> tuple[list[Seen], int, int]:
    """The images, the view's snapshot before the last ten were looked at by version 2, and the newest.

    Version 1 has not looked at every seventh, version 2 not at every fifth; 3 only at what 1 has not.
    """
    chance, seen = np.random.default_rng(5), []
    for n in range(IMAGES):
        upload = uploaded(
            image_id=UUID(int=(n + 1) << 64),
            event_id=UUID(int=n),
            source_id=f"camera {n % 4}",
            project_id="other" if n % 10 == 3 else "default",
            sha256=f"{n:064}",
            uri=f"file:///{n}",
            uploaded_at=MOMENT + timedelta(minutes=9 * n),
        )
        first = random_circles(chance, int(chance.integers(0, 7)))
        found = {"1": first, "2": jittered(chance, first) if n % 3 else first}
        if n % 5 == 4:
            del found["2"]
        if n % 7 == 6:
            found = {name: circles for name, circles in found.items() if name != "1"} | {"3": first}
        seen.append(Seen(upload, found))
    log: list[Any] = [image.upload for image in seen]
    last = [image.upload.image_id for image in seen[-10:]]
    events = [event(image, version) for image in seen for version in image.found]
    early = [e for e in events if e.model_version != "2" or e.image_id not in last]
    with lake.connect(settings, read_only=False) as view:
        before = put(settings, view, [*log, *early], 0)
        now = put(settings, view, [e for e in events if e not in early], len(log) + len(early))
    return seen, before, now


def event(image: Seen, version: str) -> CirclesDetected:
    circles = image.found[version]
    rows = np.zeros(len(circles), CIRCLE)
    for name in ("x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max"):
        rows[name] = circles[name]
    ids = object_ids(image.upload.image_id, "circles", version, len(rows))
    rows["object_id"] = np.array([each.bytes for each in ids], "V16")
    return detected(
        image_id=image.upload.image_id, event_id=ids[0] if ids else image.upload.image_id,
        project_id=image.upload.project_id, model_version=version, circles=rows,
    )  # fmt: skip


def random_circles(chance: np.random.Generator, count: int) -> Circles:
    return of(chance.uniform([20, 20, 2], [90, 90, 90], (count, 3)), chance.integers(4, 10, count) / 10)


def jittered(chance: np.random.Generator, circles: Circles) -> Circles:
    """Some are gone, some new, all others a little elsewhere."""
    kept = circles[chance.random(len(circles)) > 0.1]
    new = chance.uniform([20, 20, 2], [90, 90, 90], (int(chance.random() < 0.3), 3))
    places = np.column_stack([kept["x"], kept["y"], kept["radius"]]) + chance.normal(0, 0.7, (len(kept), 3))
    scores = np.concatenate([kept["score"], np.full(len(new), 0.7)])
    return of(np.abs(np.vstack([places, new])), scores)


def of(places: np.ndarray, scores: np.ndarray) -> Circles:
    circles = np.zeros(len(places), DETECTED)
    x, y, radius = places.T
    low = np.maximum([x - radius, y - radius], 0)  # as an image clips boxes
    columns = (x, y, radius, scores, *low, x + radius, y + radius)
    for name, column in zip(DETECTED.names or (), columns, strict=False):
        circles[name] = column
    return circles


def scored(least: float) -> Callable[[Circles], Circles]:
    return lambda circles: circles[circles["score"] >= np.float32(least)]


def obvious(seen: Sequence[Seen], a: str, b: str, rule: Rule = Rule(), least: float = 0) -> dict[str, Any]:  # noqa: B008
    """Counts of all and of groups, with the images themselves, and changes of circles with theirs, by loops.

    least: of b's scores.
    """
    groups: dict[Any, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    changes: dict[str, list[tuple[float, UUID]]] = {"shift": [], "radius": [], "score": []}
    images = []
    for image in seen:
        if a not in image.found or b not in image.found:
            continue
        one, other = image.found[a], scored(least)(image.found[b])
        table = circle_iou(one, other) if rule.iou == "circle" else box_iou(boxes(one), boxes(other))
        pairs = match(table, rule.min_iou)
        matched = [(one[i], other[j]) for i, j in zip(*pairs, strict=True)]
        lost = [c for i, c in enumerate(one) if i not in pairs.found]
        gained = [c for j, c in enumerate(other) if j not in pairs.truth]
        shifts = [float(np.hypot(float(p["x"]) - q["x"], float(p["y"]) - q["y"])) for p, q in matched]
        scores = [float(q["score"]) - float(p["score"]) for p, q in matched]
        radii = [float(q["radius"]) - float(p["radius"]) for p, q in matched]
        most = [max(shift, abs(change)) for shift, change in zip(shifts, radii, strict=True)]
        moved = [p for (p, _), px in zip(matched, most, strict=True) if px > rule.moved_px]
        named: dict[str, Any] = {
            "a_circles": one, "b_circles": other, "matched": [p for p, _ in matched], "gained": gained,
            "lost": lost, "moved": moved,
        }  # fmt: skip
        whole = {name: len(circles) for name, circles in named.items()}
        for name, values in (("shift", shifts), ("radius", radii), ("score", scores)):
            changes[name] += [(value, image.upload.image_id) for value in values]
        row = (-whole["gained"] - whole["lost"], -max(shifts, default=0.0), image.upload.image_id)
        images.append((*row, whole))
        for key in ("all", ("source", image.upload.source_id), ("hour", image.hour)):
            _count(groups[key], whole, row)
        for band in {_band(c) for circles in named.values() for c in circles}:
            part = {name: sum(_band(c) == band for c in circles) for name, circles in named.items()}
            _count(groups["band", band], part, (-part["gained"] - part["lost"], *row[1:]))
    return {"groups": groups, "changes": changes, "images": sorted(images, key=lambda each: each[:3])}


def _count(group: dict[str, Any], counts: dict[str, int], row: tuple[int, float, UUID]) -> None:
    changed = bool(counts["gained"] or counts["lost"] or counts["moved"])
    images = {"images": 1, "changed": changed, "unchanged": not changed}
    images["only_moved"] = changed and not (counts["gained"] or counts["lost"])
    for name, count in {**counts, **images}.items():
        group[name] += int(count)
    group["worst"] = min(group["worst"] or row, row)


def _band(circle: Any) -> int:
    return max(low for low in BANDS_PX if circle["radius"] >= low)


def ids(seen: Iterable[Seen]) -> list[UUID]:
    return [image.upload.image_id for image in seen]
