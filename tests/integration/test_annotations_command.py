"""`circles annotations import|export|list` in processes of their own, on a real log and a real view."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from detector.evaluation.dataset import read
from streams.reevaluation import ImageAnnotated
from streams.settings import Settings
from streams.topics import ANNOTATED
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, query, read_all, stages

IMAGES = 4
"""Uploaded, the first three of which lie beside the files, too."""
COCO = {
    "images": [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 48} for n in range(3)],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [10.1, 10, 20, 20.5]},
        {"id": 2, "image_id": 0, "category_id": 1, "bbox": [30, 10, 9, 9]},
        {
            "id": 3, "image_id": 1, "category_id": 1, "bbox": [2, 2, 20, 20],
            "circle": {"x": 12, "y": 12, "radius": 10},
        },
    ],
}  # fmt: skip


class Stack:
    """Stages with some images, and the ids of these."""

    def __init__(self, settings: Settings, ids: list[str], api: httpx.Client) -> None:
        self.settings, self.ids, self.api = settings, ids, api

    def annotations(self, *words: str | Path) -> tuple[int, str, str]:
        own = {
            "CATALOG_URL": self.settings.catalog_url.get_secret_value(), "LAKE_URL": self.settings.lake_path,
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers, "COLUMNS": "200",
            "STORAGE_URL": self.settings.objects_url,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli", "annotations", *words],
            env=os.environ | own, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def newest(self, number: int) -> dict[str, Any]:
        answer = self.api.get(f"/images/{self.ids[number]}/annotations").raise_for_status()
        found: dict[str, Any] = answer.json()["annotation"]
        return found

    def sent(self) -> int:
        return len(read_all(self.settings, ANNOTATED))


@pytest.fixture(scope="module")
def stack(fresh: Fresh) -> Iterator[Stack]:
    settings = fresh(mode="dummy", detection_wait_s=30, after_wait_s=30)
    with stages(settings), httpx.Client(base_url=settings.api_url, timeout=60) as api:
        ids = []
        for seed in range(IMAGES):
            answer = api.post(
                "/images/", files={"file": ("a", picture(seed))}, data={"source": f"gate {seed % 2}"}
            )
            assert answer.json()["detection"]
            ids.append(answer.json()["image_id"])
        yield Stack(settings, ids, api)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        (tmp_path / f"{seed}.png").write_bytes(picture(seed))
    (tmp_path / "truth.json").write_bytes(orjson.dumps(COCO))
    return tmp_path


def test_coco_is_imported_once_and_exported_in_every_format_and_back(stack: Stack, folder: Path) -> None:
    code, said, wrong = stack.annotations("import", "--coco", folder / "truth.json", "--annotator", "anna")
    assert (code, said, wrong) == (0, "3 images annotated (3 circles), 0 were equal already\n", "")
    assert [stack.newest(n)["count"] for n in range(3)] == [2, 1, 0]
    assert [stack.newest(n)["drawn_as"] for n in range(3)] == ["boxes", "circles", "boxes"]
    assert stack.newest(0)["annotator"] == "anna"
    assert stack.newest(3) is None
    code, said, _ = stack.annotations("import", "--coco", folder / "truth.json")
    assert (code, said) == (0, "0 images annotated (0 circles), 3 were equal already\n")
    assert stack.sent() == 3

    before = [stack.newest(n) for n in range(3)]
    for kind, name in (("coco", "out.json"), ("csv", "out.csv"), ("jsonl", "out.jsonl")):
        file = folder / name
        code, said, wrong = stack.annotations("export", f"--{kind}", file)
        assert (code, wrong) == (0, "")
        assert said.startswith("3 images and 3 circles as of snapshot ") and said.endswith(f"in {file}\n")
        printed = stack.annotations("export", f"--{kind}")[1]
        assert unversioned(printed) == unversioned(file.read_text())
        code, said, wrong = stack.annotations("import", f"--{kind}", file)
        assert (code, said, wrong) == (0, "0 images annotated (0 circles), 3 were equal already\n", "")

        # What takes its place in between is taken back, with who said it and when.
        for image_id in stack.ids[:3]:
            other = {"annotator": "bob", "circles": [{"x": 1, "y": 1, "radius": 1}]}
            put = stack.api.put(f"/images/{image_id}/annotations", json=other)
            after = {"after": put.headers["circles-position"]}
            stack.api.get(f"/images/{image_id}/annotations", params=after).raise_for_status()
        code, said, wrong = stack.annotations("import", f"--{kind}", file)
        assert (code, said, wrong) == (0, "3 images annotated (3 circles), 0 were equal already\n", "")
        for n in range(3):
            assert alike(stack.newest(n)) == alike(before[n])

    objects = Path(stack.settings.data_dir / "objects")
    dataset = objects / "annotations.coco.json"
    dataset.write_bytes((folder / "out.json").read_bytes())
    assert sorted(len(image.truth) for image in read(objects).images) == [0, 1, 2]


def unversioned(text: str) -> str:
    """A COCO file names its snapshot; maintenance makes others."""
    return re.sub(r'"snapshot \d+"', "", text)


def alike(annotation: dict[str, Any]) -> dict[str, Any]:
    """What two versions of the same have in common; one without circles is drawn in no way."""
    circles = [{**circle, "object_id": ""} for circle in annotation["circles"]]
    drawn_as = annotation["drawn_as"] if circles else ""
    return {**annotation, "annotation_id": "", "drawn_as": drawn_as, "circles": circles}


def test_an_export_is_of_the_images_that_are_chosen(stack: Stack, folder: Path) -> None:
    for number, options in (
        (2, ["--source", "gate 0"]),
        (1, ["--source", "gate 1"]),
        (0, ["--project", "x"]),
    ):
        (folder / f"{number}.csv").write_text(
            f"image_id,x,y,radius\n{stack.ids[0]},9,9,9\n{stack.ids[1]},9,9,9\n{stack.ids[2]},9,9,9\n"
        )
        assert stack.annotations("import", "--csv", folder / f"{number}.csv")[0] == 0
        lines = stack.annotations("export", "--jsonl", *options)[1].splitlines()
        assert len(lines) == number
    assert stack.annotations("export", "--jsonl", "--since", "2100-01-01")[1] == ""
    assert len(stack.annotations("export", "--jsonl", "--until", "2100-01-01")[1].splitlines()) == 3


def test_nothing_is_sent_when_any_entry_is_wrong(stack: Stack, folder: Path) -> None:
    count = stack.sent()
    annotations = COCO["annotations"] * 6 + [{"image_id": 1, "bbox": [90, 90, 5, 5]}]
    strange = [{"id": n, "file_name": f"strange{n}.png"} for n in range(9, 20)]
    strange[-1]["file_name"] = "https://images.example/" + "x" * 5000
    (folder / "wrong.json").write_bytes(
        orjson.dumps({"images": COCO["images"] + strange, "annotations": annotations})
    )
    code, said, wrong = stack.annotations("import", "--coco", folder / "wrong.json")
    assert (code, said) == (1, "")
    lines = wrong.splitlines()
    assert lines[0] == ("annotations[18].bbox: nothing of it is in the picture, which is 64 x 48 pixels")
    assert lines[1] == "images[3]: no image has file name strange9.png"
    assert (len(lines), lines[10]) == (11, "and 2 more")
    assert stack.sent() == count


def test_no_file_outside_the_folder_is_looked_at(stack: Stack, folder: Path, tmp_path: Path) -> None:
    (inside := tmp_path / "given").mkdir()
    image = {"id": 1, "file_name": "../0.png", "width": 64, "height": 48}
    (inside / "truth.json").write_bytes(orjson.dumps({"images": [image], "annotations": []}))
    code, _, wrong = stack.annotations("import", "--coco", inside / "truth.json")
    assert (code, wrong) == (1, "images[0]: no image has file name ../0.png\n")
    (inside / "images").symlink_to(folder)
    image["file_name"] = "0.png"
    (inside / "truth.json").write_bytes(orjson.dumps({"images": [image], "annotations": []}))
    assert "no image has file name 0.png" in stack.annotations("import", "--coco", inside / "truth.json")[2]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["import"], "say one of --coco FILE, --csv FILE and --jsonl FILE"),
        (["import", "--csv", "no.csv"], "does not exist"),
        (["import", "--csv", "{folder}/truth.json"], "line 1: ',' expected after"),
        (["import", "--csv", "{folder}/0.png"], "0.png is not UTF-8"),
        (["import", "--coco", "{folder}/0.png"], "body: Invalid JSON"),
        (["import", "--coco", "{folder}/truth.json", "--annotator", " "], "has to be text on one line"),
        (["export"], "say one of --coco, --csv and --jsonl"),
        (["export", "--csv", "{folder}/truth.json"], "truth.json is there already: --force replaces it"),
        (["export", "--csv", "{folder}/no/x.csv"], "there is no folder"),
        (["export", "--csv", "{folder}", "--force"], "is a folder: name the file to write"),
        (["list", "01939f3e-8a00-7c3f-9d52-6f1c0e8a4b21"], "there is no image 01939f3e"),
    ],
)
def test_what_cannot_be_done_is_said(stack: Stack, folder: Path, words: list[str], reason: str) -> None:
    code, _, wrong = stack.annotations(*(word.format(folder=folder) for word in words))
    assert code in (1, 2)
    assert reason in wrong
    assert "Traceback" not in wrong


def test_the_versions_of_an_image_are_listed(stack: Stack) -> None:
    image_id = stack.ids[3]
    assert stack.annotations("list", image_id)[1] == "0 versions\n"
    for who, version in (("anna", "dummy:1"), ("bob", None)):
        body = {"annotator": who, "from": version, "boxes": [[1, 1, 9, 9]]}
        put = stack.api.put(f"/images/{image_id}/annotations", json=body)
        after = {"after": put.headers["circles-position"]}
        stack.api.get(f"/images/{image_id}/annotations", params=after).raise_for_status()
    code, said, _ = stack.annotations("list", image_id)
    assert code == 0 and said.endswith("2 versions\n")
    rows = [line.split("\u2502")[2:6] for line in said.splitlines() if "\u2502" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["bob", "", "boxes", "1"], ["anna", "dummy:1", "boxes", "1"]
    ]  # fmt: skip


def test_the_log_and_the_view_have_the_same_versions(stack: Stack) -> None:
    on_the_log = {
        r.annotation_id for r in read_all(stack.settings, ANNOTATED) if isinstance(r, ImageAnnotated)
    }
    assert {
        row[0] for row in query(stack.settings, "SELECT annotation_id FROM lake.annotations")
    } == on_the_log
