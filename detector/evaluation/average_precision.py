"""Average precision as COCO defines it: pycocotools ranks and matches, each drawn sample is summed here."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO  # type: ignore[import-untyped]
from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

from detector.circles import Circles, FloatArray
from detector.evaluation.bootstrap import ratio
from detector.evaluation.overlap import boxes, circle_iou

RECALLS = np.linspace(0, 1, 101)
THRESHOLDS = np.linspace(0.5, 0.95, 10)


class Ranked(NamedTuple):
    """The circles found in one image, best first: scores (n,), and (thresholds, n) which are right."""

    score: FloatArray
    right: NDArray[np.bool_]


class CircleEval(COCOeval):  # type: ignore[misc]
    """COCO's matching with the IoU of circles in place of boxes."""

    def computeIoU(self, imgId: int, catId: int) -> FloatArray | list[Any]:  # noqa: N802, N803 COCO's names
        found, truth = self._dts[imgId, catId], self._gts[imgId, catId]
        if not found or not truth:
            return []
        best_first = np.argsort([-one["score"] for one in found], kind="mergesort")
        one = np.array([found[i]["circle"] for i in best_first])
        return circle_iou(one, np.array([other["circle"] for other in truth]))


def evaluator(found: Sequence[Circles], truth: Sequence[Circles], *, circles: bool) -> COCOeval:
    """COCO's own evaluation of images with what was found and is true in them, evaluated per image."""
    with redirect_stdout(io.StringIO()):
        kind = CircleEval if circles else COCOeval
        coco = kind(coco_of(truth), coco_of(found), "bbox")
        coco.params.iouThrs = THRESHOLDS
        coco.params.recThrs = RECALLS
        coco.params.areaRng, coco.params.areaRngLbl = [[0, np.inf]], ["all"]
        coco.params.maxDets = [max(map(len, found), default=0) + 1]  # all count; COCO's own limit is 100
        coco.evaluate()
    return coco


def coco_of(images: Sequence[Circles]) -> COCO:
    """Image ids are the positions in `images`; ids of circles begin at 1, as 0 is COCO's for none."""
    annotations: list[dict[str, Any]] = []
    for image_id, circles in enumerate(images):
        corners = boxes(circles)
        sizes = corners[:, 2:] - corners[:, :2]
        for circle, box, size in zip(circles, corners, sizes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [*box[:2].tolist(), *size.tolist()],
                    "area": float(size.prod()),
                    "score": float(circle["score"]),
                    "circle": circle,
                }
            )
    coco = COCO()
    ids = [{"id": image_id} for image_id in range(len(images))]
    coco.dataset = {"images": ids, "annotations": annotations, "categories": [{"id": 1}]}
    coco.createIndex()
    return coco


def rank(found: Sequence[Circles], truth: Sequence[Circles], *, circles: bool) -> list[Ranked]:
    """Each image's circles as COCO matches them, greedily, best first."""
    nothing = Ranked(np.zeros(0), np.zeros((len(THRESHOLDS), 0), bool))
    return [
        Ranked(np.array(image["dtScores"], float), image["dtMatches"] > 0) if image else nothing
        for image in evaluator(found, truth, circles=circles).evalImgs
    ]


def average_precision(images: Sequence[Ranked], annotated: FloatArray, weights: FloatArray) -> FloatArray:
    """(samples, thresholds), as COCOeval.accumulate computes it: the precision at 101 recalls, each
    the highest at that recall or a higher one, on average. NaN where nothing is annotated.

    annotated: (images,) how many circles; weights: (samples, images) how often each image counts.
    """
    order = np.argsort(-np.concatenate([image.score for image in images]), kind="mergesort")
    right = np.hstack([image.right for image in images])[:, order]
    of_image = np.repeat(np.arange(len(images)), [len(image.score) for image in images])[order]
    counted = np.cumsum(weights[:, of_image], axis=1)
    true = (weights @ annotated)[:, None]
    columns = []
    for hits in right:
        # Precision falls at every false circle, so its peaks, which alone count, are at right ones.
        rightly = np.cumsum(weights[:, of_image[hits]], axis=1)
        precision = rightly / (counted[:, hits] + np.spacing(1))
        peak = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.searchsorted(RECALLS, ratio(rightly, true), side="right")
        columns.append((peak * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS))
    return np.where(true > 0, np.stack(columns, axis=1), np.nan)
