"""The command `circles find`, on a rendered scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from deploy.cli import cli
from detector.evaluation.overlap import box_iou
from detector.scenes import render

SEED = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(render(SEED).image).save(tmp_path / "scene.png")
    return tmp_path


def find(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["find", *map(str, arguments)], env={"COLUMNS": "140"})


def test_a_table_says_how_many_and_by_which_model(folder: Path) -> None:
    result = find(folder)
    assert result.exit_code == 0, result.output
    row = next(line for line in result.stdout.splitlines() if "scene.png" in line)
    assert f" {len(render(SEED).circles)} " in row
    assert "circles:2" in result.stdout


def test_json_has_each_circle_where_it_is(folder: Path) -> None:
    told = orjson.loads(find(folder, "--json").stdout)
    sides = ("x_min", "y_min", "x_max", "y_max")
    found = np.array([[circle[side] for side in sides] for circle in told["circles"]])
    truth = np.array([[float(circle[side]) for side in sides] for circle in render(SEED).circles])
    assert told["image"].endswith("scene.png")
    assert (box_iou(truth, found).max(axis=1) > 0.8).all()


def test_only_what_was_asked_for(folder: Path) -> None:
    every = orjson.loads(find(folder, "--json").stdout)["circles"]
    radii = sorted(circle["radius"] for circle in every)
    cut = (radii[0] + radii[-1]) / 2
    small = orjson.loads(find(folder, "--json", "--max-radius", cut).stdout)["circles"]
    large = orjson.loads(find(folder, "--json", "--min-radius", cut).stdout)["circles"]
    assert len(small) + len(large) == len(every) and small and large


def test_pictures_have_the_circles_drawn(folder: Path, tmp_path: Path) -> None:
    assert find(folder, "--pictures", tmp_path / "out").exit_code == 0
    with Image.open(tmp_path / "out" / "001-scene.png") as drawn:
        assert max(drawn.size) == 900
        blue = np.all(np.asarray(drawn.convert("RGB")) == (86, 180, 233), axis=2)
    assert blue.sum() > 500


def test_a_file_that_is_no_image_is_named_and_the_others_are_done(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"not an image")
    result = find(folder, "--json")
    assert result.exit_code == 1
    assert "broken.jpg: not an image" in result.output
    assert "scene.png" in result.stdout


def test_an_unknown_model_names_those_there_are(folder: Path) -> None:
    result = find(folder, "--model", "squares")
    assert result.exit_code == 2
    assert "circles:2" in result.output
