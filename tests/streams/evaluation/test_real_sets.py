"""On real annotated images the ruler's figures are pycocotools' and those of the plain formulas.

Nothing of the ruler is used for what is expected: the annotation files are read as they are, IoU is written
down again, average precision is what COCOeval accumulates, pairs are counted by other algorithms.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from datetime import timedelta
from functools import partial
from math import acos, hypot, pi, sqrt
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from pycocotools.coco import COCO  # type: ignore[import-untyped]
from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from scipy.sparse import csr_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import maximum_bipartite_matching  # type: ignore[import-untyped]

from detector import models
from detector.evaluation.dataset import read
from detector.evaluation.measures import Report, measure
from detector.evaluation.observe import Observation, look_with, observe
from detector.evaluation.score import score
from streams import lake
from streams.circles import CIRCLE, Circles
from streams.evaluation.compare import compare
from streams.evaluation.images import Rule
from streams.evaluation.truth import OfTruth
from streams.evaluation.version import resolve
from streams.ground_truth import Shapes, drawn
from tests.examples import MOMENT, annotated, detected, uploaded
from tests.lakes import fresh
from tests.streams.small_view import put

DATA = Path(__file__).parents[4] / "shared" / "data"
SETS = ("pennies", "jordan-coins", "blood-cells", "skimage-coins")
EVERY = 2
"""Which of the images of a set: a model that is slow looks at them."""
Box = tuple[float, float, float, float]
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the annotated sets are not in ../shared/data, beside the checkout"
)


class Marked(NamedTuple):
    """An image as its file of annotations has it: boxes of x, y, width, height."""

    name: str
    width: int
    height: int
    boxes: list[Box]


class Counted(NamedTuple):
    precision: float
    recall: float
    f1: float


def marked(name: str) -> list[Marked]:
    coco = json.loads((DATA / name / "annotations.coco.json").read_text())
    found = {
        image["id"]: Marked(image["file_name"], image["width"], image["height"], [])
        for image in coco["images"]
    }
    for annotation in coco["annotations"]:
        found[annotation["image_id"]].boxes.append(tuple(annotation["bbox"]))
    return list(found.values())


def box_iou(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def circle_iou(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """x, y and radius of each. Two circular segments are what they share."""
    d, r, s = hypot(a[0] - b[0], a[1] - b[1]), a[2], b[2]
    if d >= r + s:
        return 0.0
    if d <= abs(r - s):
        return min(r, s) ** 2 / max(r, s) ** 2
    shared = (
        r * r * acos((d * d + r * r - s * s) / (2 * d * r))
        + s * s * acos((d * d + s * s - r * r) / (2 * d * s))
        - sqrt((-d + r + s) * (d + r - s) * (d - r + s) * (d + r + s)) / 2
    )
    return shared / (pi * (r * r + s * s) - shared)


def circle_of(box: Box) -> tuple[float, float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2, (box[2] + box[3]) / 4


class ByCircle(COCOeval):  # type: ignore[misc]
    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803 COCO's names
        truth = self._gts[imgId, catId]
        found = sorted(self._dts[imgId, catId], key=lambda one: -one["score"])
        if not (truth and found):
            return []
        return np.array([[circle_iou(f["circle"], circle_of(t["bbox"])) for t in truth] for f in found])


def boxes_of(found: Circles) -> list[Box]:
    low, high = (np.column_stack([found[f"{a}_{end}"] for a in "xy"]).astype(float) for end in ("min", "max"))
    return [tuple(row) for row in np.hstack([low, high - low]).tolist()]


def circles_of(found: Circles) -> list[tuple[float, float, float]]:
    return [(float(c["x"]), float(c["y"]), float(c["radius"])) for c in found]


def average_precision(kind: type, images: list[Marked], found: list[Circles]) -> tuple[float, float]:
    """At IoU .5, and on average from .5 to .95, as pycocotools accumulates it."""
    truth: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for image_id, (image, circles) in enumerate(zip(images, found, strict=True)):
        for box in image.boxes:
            truth.append(_annotation(len(truth), image_id, box))
        for box, circle, each in zip(boxes_of(circles), circles_of(circles), circles["score"], strict=True):
            answers.append(
                _annotation(len(answers), image_id, box) | {"score": float(each), "circle": circle}
            )
    with redirect_stdout(io.StringIO()):
        coco = [_coco(len(images), each) for each in (truth, answers)]
        evaluated = kind(*coco, "bbox")
        evaluated.params.maxDets = [max(map(len, found))]
        evaluated.evaluate()
        evaluated.accumulate()
    by_iou = evaluated.eval["precision"][:, :, 0, 0, 0].mean(axis=1)
    return float(by_iou[0]), float(by_iou.mean())


def _annotation(number: int, image_id: int, box: Box) -> dict[str, Any]:
    about = {"id": number + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0}
    return about | {"bbox": list(box), "area": box[2] * box[3]}


def _coco(images: int, annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": n} for n in range(images)], "annotations": annotations, "categories": [{"id": 1}],
    }  # fmt: skip
    coco.createIndex()
    return coco


def counted(images: list[Marked], found: list[Circles], threshold: float, *, by_circle: bool) -> Counted:
    """By the plain formulas, over all images."""
    right = 0
    for image, circles in zip(images, found, strict=True):
        if by_circle:
            iou = [[circle_iou(f, circle_of(t)) for t in image.boxes] for f in circles_of(circles)]
        else:
            iou = [[box_iou(f, t) for t in image.boxes] for f in boxes_of(circles)]
        right += pairs(np.array(iou).reshape(len(circles), len(image.boxes)), threshold)
    seen, true = sum(map(len, found)), sum(len(image.boxes) for image in images)
    return Counted(right / seen, right / true, 2 * right / (seen + true))


def pairs(iou: Any, threshold: float) -> int:
    """One to one, as many as there can be; the Hungarian method on 1 - IoU never has more."""
    if not iou.size:
        return 0
    most = int((maximum_bipartite_matching(csr_array(iou >= threshold)) >= 0).sum())
    hungarian = iou[linear_sum_assignment(1 - iou)]
    assert int((hungarian >= threshold).sum()) <= most
    return most


class Looked(NamedTuple):
    images: list[Marked]
    observed: list[Observation]


@pytest.fixture(scope="module", params=SETS)
def looked(request: pytest.FixtureRequest) -> Looked:
    """What circles:1 finds in a set."""
    dataset = read(DATA / request.param)
    chosen = slice(None, None, EVERY)
    few = type(dataset)(dataset.name, dataset.images[chosen])
    images = marked(request.param)[chosen]
    assert [image.name for image in few.images] == [image.name for image in images]
    return Looked(images, list(observe(few, look_with(models.find("circles", "1")))))


def test_circles_evaluate(looked: Looked) -> None:
    least = models.find("circles", "1").min_score
    report: Report = measure("set", "circles:1", score(looked.observed, least))
    everything = [each.found for each in looked.observed]
    from_there = [found[found["score"] >= least] for found in everything]
    for name, kind in (("box", COCOeval), ("circle", ByCircle)):
        ap = report.ap[name]["0.5"].value, report.ap[name]["0.5:0.95"].value
        assert ap == pytest.approx(average_precision(kind, looked.images, everything)), name
    for threshold in ("0.3", "0.5", "0.7", "0.9"):
        for said, by_circle in ((report, False), (report.circle, True)):
            found = Counted(*(getattr(said, each)[threshold].value for each in Counted._fields))
            expected = counted(looked.images, from_there, float(threshold), by_circle=by_circle)
            assert found == pytest.approx(expected), (threshold, by_circle)
    errors = [abs(len(f) - len(t.boxes)) for f, t in zip(from_there, looked.images, strict=True)]
    assert report.count_error.value == pytest.approx(sum(errors) / len(errors))


def test_the_ground_truth_of_circles_compare(looked: Looked, catalogs: str, tmp_path: Path) -> None:
    """circles:1 with itself without every third circle, from a view that has both and the annotations."""
    found = {"1": [as_kept(each.found) for each in looked.observed]}
    found["2"] = [np.delete(circles, np.s_[2::3]) for circles in found["1"]]
    truth = from_the_view(looked.images, found, fresh(catalogs, tmp_path))
    for which, version in (("a", "1"), ("b", "2")):
        of = partial(value, truth, which)
        for name, kind in (("", COCOeval), ("circle ", ByCircle)):
            ap = of(f"{name}ap @ 0.5"), of(f"{name}ap @ 0.5:0.95")
            assert ap == pytest.approx(average_precision(kind, looked.images, found[version])), (
                name,
                version,
            )
        for threshold in ("0.5", "0.7", "0.9"):
            for name, by_circle in (("", False), ("circle ", True)):
                mine = Counted(*(of(f"{name}{each} @ {threshold}") for each in Counted._fields))
                expected = counted(looked.images, found[version], float(threshold), by_circle=by_circle)
                assert mine == pytest.approx(expected), (threshold, by_circle)
        errors = [abs(len(f) - len(t.boxes)) for f, t in zip(found[version], looked.images, strict=True)]
        assert of("count error") == pytest.approx(sum(errors) / len(errors))


def as_kept(found: Any) -> Circles:
    """As a detection has it that the model server's own least score let through."""
    found = found[found["score"] >= models.find("circles", "1").min_score]
    circles = np.zeros(len(found), CIRCLE)
    for name in set(CIRCLE.names or ()) & set(found.dtype.names):
        circles[name] = found[name]
    return circles


def from_the_view(images: list[Marked], found: dict[str, list[Circles]], settings: Any) -> OfTruth:
    records: list[Any] = []
    for n, image in enumerate(images):
        about = {"image_id": UUID(int=(n + 1) << 64)}
        size = {"width": image.width, "height": image.height}
        records.append(uploaded(**about, **size, uploaded_at=MOMENT + timedelta(minutes=n)))
        records += [detected(**about, model_version=v, circles=each[n]) for v, each in found.items()]
    said = []
    for n, image in enumerate(images):
        shapes = Shapes(boxes=[[x, y, x + width, y + height] for x, y, width, height in image.boxes])
        circles = drawn(shapes, image.width, image.height)
        about = {"image_id": UUID(int=(n + 1) << 64), "annotation_id": UUID(int=n)}
        said.append(annotated(**about, drawn_as="boxes", circles=circles))
    with lake.connect(settings, read_only=False) as view:
        put(settings, view, records, 0)
        now = put(settings, view, said, 1)
        known = {("circles", version) for version in found}
        a, b = (resolve(f"circles:{version}", known) for version in found)
        compared = compare(view, now, a, b, Rule(), {})
    assert compared.truth and compared.truth.images == len(images)
    return compared.truth


def value(truth: OfTruth, which: str, name: str) -> float:
    figure = getattr(truth.of(name), which)
    return float(figure.value)
