"""COCO files: which circles they give, and everything that is refused before a model runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detector.evaluation.dataset import InvalidDataset, of_boxes, read
from tests.detector.evaluation import write_coco, write_json

Change = Callable[[dict[str, Any], Path], Any]


def test_a_folder_gives_its_images_with_their_circles(tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "discs")
    dataset = read(tmp_path / "discs")
    assert dataset.name == "discs"
    assert [image.name for image in dataset.images] == ["scene 0.png", "scene 1.png", "scene 2.png"]
    assert sum(len(image.truth) for image in dataset.images) == len(coco["annotations"])
    x, y, width, height = coco["annotations"][0]["bbox"]
    first = dataset.images[0].truth[0]
    assert first["x"] == pytest.approx(x + width / 2)
    assert first["y"] == pytest.approx(y + height / 2)
    assert first["radius"] == pytest.approx((width + height) / 4)
    assert [first[side] for side in ("x_min", "y_max")] == pytest.approx([x, y + height])


def test_a_file_of_any_name_may_be_given_and_images_may_lie_beside_it(tmp_path: Path) -> None:
    write_coco(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.rename(tmp_path / path.name)
    file = (tmp_path / "annotations.coco.json").rename(tmp_path / "truth.json")
    assert read(file).name == "truth"
    assert len(read(file).images) == len(read(tmp_path).images) == 3


def test_an_image_without_a_circle_stays(tmp_path: Path) -> None:
    coco = write_coco(tmp_path)
    write_json(tmp_path, coco | {"annotations": coco["annotations"][:1]})
    assert [len(image.truth) for image in read(tmp_path).images] == [1, 0, 0]


def first(coco: dict[str, Any], **more: Any) -> None:
    coco["annotations"][0] |= more


REFUSED: dict[str, tuple[Change, str]] = {
    "a crowd": (lambda c, _: first(c, iscrowd=1), r"annotation 0 of scene 0\.png is a crowd"),
    "a flat box": (lambda c, _: first(c, bbox=[3, 4, 10, 0]), "has a box without an area: 10 x 0"),
    "a turned box": (lambda c, _: first(c, bbox=[3, 4, -1, 5]), "without an area: -1 x 5"),
    "half a box": (lambda c, _: first(c, bbox=[3, 4]), r"is not COCO: annotations\.0\.bbox"),
    "a box of text": (lambda c, _: first(c, bbox=["a", 1, 2, 3]), r"annotations\.0\.bbox\.0"),
    "an unlisted image": (lambda c, _: first(c, image_id=77), "is of image 77, which is not listed"),
    "no annotations": (lambda c, _: c["annotations"].clear(), "has no annotations"),
    "no images": (lambda c, _: c.pop("images"), "images: Field required"),
    "one id twice": (lambda c, _: c["images"][1].update(id=0), "same id to several images"),
    "another size": (
        lambda c, _: c["images"][1].update(width=240, height=320),
        r"scene 1\.png stores 320 x 240 pixels but is annotated as 240 x 320",
    ),
    "images missing": (lambda _, f: (f / "images/scene 2.png").unlink(), r"lack scene 2\.png"),
    "an image cut off": (
        lambda _, f: (f / "images/scene 1.png").write_bytes((f / "images/scene 1.png").read_bytes()[:999]),
        r"scene 1\.png: truncated",
    ),
    "an image of another kind": (
        lambda _, f: Image.new("RGB", (9, 9)).save(f / "images/scene 1.png", "GIF"), r"scene 1\.png: GIF",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_measured_against_is_refused_by_name(
    tmp_path: Path, change: Change, reason: str
) -> None:
    coco = write_coco(tmp_path)
    change(coco, tmp_path)
    write_json(tmp_path, coco)
    with pytest.raises(InvalidDataset, match=reason):
        read(tmp_path)


def test_places_without_annotations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="there is no"):
        read(tmp_path / "missing")
    with pytest.raises(InvalidDataset, match="it has none"):
        read(tmp_path)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("not JSON")
    with pytest.raises(InvalidDataset, match=r"it has a\.json, b\.json"):
        read(tmp_path)
    with pytest.raises(InvalidDataset, match="is not COCO: Invalid JSON"):
        read(tmp_path / "a.json")


def test_boxes_become_circles_of_their_mean_side() -> None:
    (circle,) = of_boxes(np.array([[10.0, 20.0, 50.0, 80.0]])).tolist()
    assert circle == (30, 50, 25, 1, 10, 20, 50, 80, 25, 25, 0)
    assert len(of_boxes(np.zeros((0, 4)))) == 0
