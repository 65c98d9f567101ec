"""Datasets, circles and observations made up for tests of the ruler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from hypothesis import strategies as st
from PIL import Image

from detector.circles import Circles, FloatArray, make
from detector.evaluation.dataset import AnnotatedImage, of_boxes
from detector.evaluation.matching import match
from detector.evaluation.observe import Observation
from detector.evaluation.overlap import box_iou
from detector.evaluation.score import ImageScore, score
from detector.scenes import render

Triple = tuple[float, float, float]
"""x, y, radius."""


def circles(*triples: Triple, scores: Sequence[float] = ()) -> Circles:
    """Circles best first; without scores all have 1. None of them is clipped."""
    rows = np.array(triples, dtype=float).reshape(-1, 3)
    ellipses = np.column_stack([rows, rows[:, 2], np.zeros(len(rows))])
    return make(ellipses, np.array(scores or [1.0] * len(rows)), (10_000, 10_000))


def matched(found: FloatArray, truth: FloatArray, threshold: float = 0.5) -> int:
    """How many boxes found, (n, 4), have a true one, (m, 4), of their own."""
    return len(match(box_iou(found, truth), threshold).found)


def observed(found: Circles, truth: Circles, latency_ms: float = 1.0) -> Observation:
    return Observation(AnnotatedImage("image", Path("image"), truth), found, latency_ms)


def scored(*images: tuple[Circles, Circles], min_score: float = 0.5) -> list[ImageScore]:
    """Images of what is found and true in each."""
    return score([observed(found, truth) for found, truth in images], min_score)


def spots(most: int = 5) -> st.SearchStrategy[FloatArray]:
    """(n, 4): random boxes that often overlap, on whole pixels, so that ties are common."""
    side = st.integers(0, 12)
    corner = st.tuples(side, side, st.integers(1, 10), st.integers(1, 10))
    rows = st.lists(corner, max_size=most)
    return rows.map(lambda r: np.array([(x, y, x + w, y + h) for x, y, w, h in r], float).reshape(-1, 4))


@st.composite
def guesses(draw: st.DrawFn) -> Circles:
    """Circles found where others may be, with scores that often are equal, best first."""
    found = of_boxes(draw(spots()))
    found["score"] = draw(
        st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0]), min_size=len(found), max_size=len(found))
    )
    return found[np.argsort(-found["score"], kind="stable")]


def write_coco(folder: Path, images: int = 3, **more: Any) -> dict[str, Any]:
    """Rendered scenes and their exact boxes as a dataset in a folder; its JSON."""
    (folder / "images").mkdir(parents=True)
    coco: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "disc"}]}
    for seed in range(images):
        scene = render(seed, 320, 240)
        Image.fromarray(scene.image).save(folder / "images" / f"scene {seed}.png")
        coco["images"].append({"id": seed, "file_name": f"scene {seed}.png", "width": 320, "height": 240})
        for circle in scene.circles.tolist():
            x_min, y_min, x_max, y_max = circle[4:8]
            box = [x_min, y_min, x_max - x_min, y_max - y_min]
            coco["annotations"].append(
                {"id": len(coco["annotations"]), "image_id": seed, "category_id": 1, "bbox": box}
            )
    coco |= more
    write_json(folder, coco)
    return coco


def write_json(folder: Path, coco: Any) -> None:
    (folder / "annotations.coco.json").write_bytes(orjson.dumps(coco))
