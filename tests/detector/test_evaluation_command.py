"""The command `circles evaluate`, on rendered scenes, here and against a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from deploy.cli import cli
from detector.evaluation.dataset import InvalidDataset
from tests.detector.evaluation import write_coco, write_json
from tests.integration.model_server import model_server


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "discs"
    write_coco(folder)
    return folder


def circles(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)], env={"COLUMNS": "140"})


def answer(*arguments: object) -> dict[str, Any]:
    result = circles(*arguments, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = orjson.loads(result.stdout)
    return told


def test_a_table_for_people(discs: Path) -> None:
    result = circles("--coco", discs, "--model", "circles:1")
    assert result.exit_code == 0
    for words in ("discs: circles:1, 3 images", "precision", "Jaccard", "circle IoU 0.5:0.95", "latency p99"):
        assert words in result.stdout
    assert "pooled" not in result.stdout


def test_json_for_machines_of_each_set_and_of_all(discs: Path, tmp_path: Path) -> None:
    write_coco(tmp_path / "other", images=1)
    told = answer(
        "--coco", discs, "--coco", tmp_path / "other" / "annotations.coco.json", "--model", "circles:1"
    )
    assert (told["model"], told["min_score"], told["latency_of"]) == ("circles:1", 0.6, "the model")
    assert [one["name"] for one in told["datasets"]] == ["discs", "other"]
    assert [one["images"] for one in (*told["datasets"], told["pooled"])] == [3, 1, 4]
    pooled = told["pooled"]
    assert pooled["f1"]["0.7"]["value"] > 0.9
    assert 0.7 < pooled["f1"]["0.7"]["low"] <= pooled["f1"]["0.7"]["value"] <= pooled["f1"]["0.7"]["high"]
    assert set(pooled["ap"]) == {"box", "circle"}
    assert pooled["latency_ms"]["p99"]["value"] > 0.1


def test_the_least_score_may_be_given(discs: Path) -> None:
    assert answer("--coco", discs, "--model", "circles:1", "--min-score", "1")["pooled"]["found"] == 0


def test_a_model_that_finds_nothing_here_scores_nothing(discs: Path) -> None:
    told = answer("--coco", discs, "--model", "dummy")["pooled"]
    assert (told["model"], told["found"], told["precision"]["0.9"]["value"]) == ("dummy:1", 3, 0)


def test_a_server_is_measured_by_its_round_trips(discs: Path) -> None:
    with model_server() as server:
        server.release.set()
        place = server.url.removeprefix("http://")
        told = answer("--coco", discs, "--url", f"http://user:secret@{place}", "--model", "coins:3")
        assert server.calls == 5  # two for nothing, then one for each image
    assert (told["model"], told["latency_of"], told["min_score"]) == (f"coins:3 at {place}", "round trip", 0)
    assert told["pooled"]["found"] == 3
    assert told["pooled"]["latency_ms"]["p50"]["value"] > 0


def test_a_server_that_gives_no_circles_is_one_line(discs: Path) -> None:
    with model_server() as server:
        server.release.set()
        server.answer = (200, b"<html>")
        refused = circles("--coco", discs, "--url", server.url)
    assert isinstance(refused.exception, ValueError)
    assert str(refused.exception).startswith(f"no circles from {server.url.removeprefix('http://')}: ")


def test_pictures_go_to_a_new_folder(discs: Path, tmp_path: Path) -> None:
    there = tmp_path / "pictures"
    assert circles("--coco", discs, "--model", "dummy", "--pictures", there).exit_code == 0
    assert len(list(there.glob("*.jpg"))) == 4
    again = circles("--coco", discs, "--model", "dummy", "--pictures", there)
    assert isinstance(again.exception, ValueError)
    assert "is not empty" in str(again.exception)


def test_wrong_words_are_one_line(discs: Path, tmp_path: Path) -> None:
    unknown = circles("--coco", discs, "--model", "circles:999")
    assert unknown.exit_code == 2
    assert "no model circles:999" in unknown.stderr
    write_json(tmp_path, {"images": [], "annotations": []})
    assert isinstance(circles("--coco", tmp_path).exception, InvalidDataset)


def test_finding_circles_needs_nothing_that_measuring_needs() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['scipy', 'pycocotools', 'rich', 'lightgbm']));"
        "import numpy; from detector import detect; detect(numpy.zeros((64, 64, 3), numpy.uint8))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.stderr.strip() == ""
