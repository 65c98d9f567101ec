"""COCO files of the view: what `circles evaluate` and others read, streamed from one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from detector.evaluation.dataset import read
from streams.export import export_coco
from tests.examples import circles
from tests.streams.small_view import LATER, A, C, Folded, folded_view, held


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folded]:
    with folded_view(tmp_path_factory.mktemp("export")) as view:
        yield view


def test_coco_is_read_back_with_its_images(folded: Folded) -> None:
    """By what `circles evaluate` reads: every picture has to be there, in its size."""
    store = folded.settings.objects_url
    file = folded.settings.data_dir / "objects" / "annotations.coco.json"
    assert export_coco(folded.view, folded.now, file, store, {"model": "circles", "version": "1"}) == (3, 5)
    dataset = read(file.parent)
    assert {image.name: len(image.truth) for image in dataset.images} == {
        "a.png": 2,
        "b.png": 0,
        "c/c.png": 3,
    }
    (image,) = (image for image in dataset.images if image.name == "c/c.png")
    wanted = circles(3)
    for field in ("x", "y", "radius", "x_min", "y_max"):
        assert sorted(image.truth[field]) == pytest.approx(sorted(wanted[field]))
    coco = orjson.loads(file.read_bytes())
    assert sorted(one["id"] for one in coco["annotations"]) == [1, 2, 3, 4, 5]
    image_ids = {one["id"]: one["image_id"] for one in coco["images"]}
    by_id = {(image_ids[one["image_id"]], one["object_id"]): one for one in coco["annotations"]}
    for row in held(folded, "objects"):
        if row["model_version"] == "1":
            one = by_id[str(row["image_id"]), str(row["object_id"])]
            assert one["circle"] == {"x": row["x"], "y": row["y"], "radius": row["radius"]}
            assert one["bbox"] == [row["x_min"], row["y_min"], 2 * row["radius"], 2 * row["radius"]]
            assert (one["score"], one["area"]) == (0.5, one["bbox"][2] * one["bbox"][3])
    first = next(one for one in coco["images"] if one["file_name"] == "a.png")
    assert (first["image_id"], first["width"], first["height"]) == (str(A), 64, 48)
    assert first["date_captured"] == "2026-01-31T12:00:00.123456Z"


@pytest.mark.parametrize(
    ("filters", "counts"),
    [
        ({"version": "2"}, (1, 1)), ({"version": "1", "source": "camera"}, (2, 2)),
        ({"project": "other"}, (1, 3)), ({"image_id": C}, (1, 3)),
        ({"since": LATER}, (1, 0)), ({"until": LATER, "version": "1"}, (2, 5)),
        ({"version": "1", "min_score": 0.51}, (3, 0)), ({"source": "nobody"}, (0, 0)),
    ],
)  # fmt: skip
def test_coco_has_the_images_chosen_and_their_circles(
    folded: Folded, tmp_path: Path, filters: dict[str, Any], counts: tuple[int, int]
) -> None:
    file = tmp_path / "out"
    assert export_coco(folded.view, folded.now, file, folded.settings.objects_url, filters) == counts
    coco = orjson.loads(file.read_bytes())
    assert (len(coco["images"]), len(coco["annotations"])) == counts
    assert {one["image_id"] for one in coco["annotations"]} <= {one["id"] for one in coco["images"]}


def test_coco_of_several_models_is_refused(folded: Folded, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="detections of circles:1, circles:2: choose one with --model"):
        export_coco(folded.view, folded.now, tmp_path / "out", "file:///", {"model": "circles"})


def test_an_image_outside_the_store_is_named_by_its_path(folded: Folded, tmp_path: Path) -> None:
    export_coco(folded.view, folded.now, tmp_path / "out", "s3://images", {"image_id": C})
    (image,) = orjson.loads((tmp_path / "out").read_bytes())["images"]
    assert image["file_name"] == str(folded.settings.data_dir / "objects/c/c.png").removeprefix("/")
