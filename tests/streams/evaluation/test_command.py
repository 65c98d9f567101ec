"""The command `circles compare`: words and tables for people, JSON for machines, reasons in one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from typer.testing import CliRunner, Result

from deploy.cli import cli
from streams.settings import Settings
from tests.lakes import fresh
from tests.streams.evaluation.views import Seen, make, obvious

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def view(catalogs: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Seen]]:
    settings = fresh(catalogs, tmp_path_factory.mktemp("compared"))
    return settings, make(settings)[0]


@pytest.fixture(scope="module")
def seen(view: tuple[Settings, list[Seen]]) -> list[Seen]:
    return view[1]


@pytest.fixture(scope="module")
def place(view: tuple[Settings, list[Seen]]) -> dict[str, str]:
    settings, _ = view
    return {"CATALOG_URL": settings.catalog_url.get_secret_value(), "LAKE_URL": settings.lake_path}


@pytest.fixture
def circles(place: dict[str, str]) -> Command:
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["compare", *map(str, arguments)], env=place)

    return run


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = orjson.loads(result.stdout)
    return said


def test_a_sentence_then_tables(circles: Command, seen: list[Seen]) -> None:
    counts = obvious(seen, "1", "2")["groups"]["all"]
    result = circles("circles:1", "circles:2", "--worst", 3)
    assert result.exit_code == 0, result.output
    sentence, *lines = result.stdout.splitlines()
    more = (counts["b_circles"] / counts["a_circles"] - 1) * 100
    assert sentence == (
        f"circles:2 finds {abs(more):.1f} % {'more' if more > 0 else 'fewer'} circles than circles:1 in"
        f" {counts['images']} images; {counts['unchanged']} images are the same"
    )
    text = "\n".join(lines)
    counted = [rf"{name} *│ *{counts[name]} " for name in ("matched", "gained", "lost", "moved")]
    for row in (
        *counted, "shift of the centre, px", "camera 3 ", "20 to below 40 ", "2026-01-31 12:00Z ",
        "worst images ", "only circles:1 has looked at 00000000-",
    ):  # fmt: skip
        assert re.search(row, text), (row, text)
    assert "left out" not in text
    assert text.count("camera") == 4 + 3


def test_an_object_for_machines_has_everything(circles: Command, seen: list[Seen]) -> None:
    found = told(circles("circles:1", "circles:2+min_score=0.5", "--json", "--worst", 2))
    counts = obvious(seen, "1", "2", least=0.5)["groups"]["all"]
    del counts["worst"]
    assert {name: found["counts"][name] for name in counts} == counts
    assert (found["a"], found["b"]) == ("circles:1", "circles:2+min_score=0.5")
    assert (found["iou"], found["min_iou"], found["moved_px"], found["filters"]) == ("circle", 0.5, 1, {})
    assert found["by_hour"][0]["hour"] == "2026-01-31T12:00:00Z"
    assert len(found["worst"]) == len(found["only_a_images"]) == 2
    assert set(found["shift_px"]) == {"median", "p90", "max", "mean", "max_image"}


def test_options_reach_the_comparison(circles: Command) -> None:
    asked = ("--source", "camera 1", "--since", "2026-01-31", "--until", "2026-02-01", "--min-iou", 0.7)
    more = ("--iou", "box", "--moved-px", 0.2, "--min-score-a", 0.5, "--min-score-b", 0.6, "--worst", 0)
    found = told(circles("circles:1", "circles:2", "--json", *asked, *more))
    assert found["filters"] == {
        "source": "camera 1", "since": "2026-01-31T00:00:00Z", "until": "2026-02-01T00:00:00Z"
    }  # fmt: skip
    assert (found["a"], found["b"]) == ("circles:1+min_score=0.5", "circles:2+min_score=0.6")
    assert (found["iou"], found["min_iou"], found["moved_px"], found["worst"]) == ("box", 0.7, 0.2, [])
    assert [row["source"] for row in found["by_source"]] == ["camera 1"]
    other = told(circles("circles:1", "circles:2", "--json", "--project", "other"))
    assert other["filters"] == {"project": "other"}


def test_every_image_may_go_to_a_file(circles: Command, seen: list[Seen], tmp_path: Path) -> None:
    file = tmp_path / "images.parquet"
    assert circles("circles:1", "circles:2", "--images", file).exit_code == 0
    with duckdb.connect() as reader:
        query = "SELECT image_id, gained, lost, moved FROM read_parquet(?) ORDER BY ALL"
        rows = reader.execute(query, [str(file)]).fetchall()
    expected = obvious(seen, "1", "2")["images"]
    assert rows == sorted((id_, c["gained"], c["lost"], c["moved"]) for *_, id_, c in expected)
    again = circles("circles:1", "circles:2", "--images", file)
    assert str(again.exception) == f"{file} is there already"
    assert circles("circles:1", "circles:9", "--images", tmp_path / "none.parquet").exit_code == 1
    assert [*tmp_path.iterdir()] == [file]


def test_a_page_may_go_to_a_file(circles: Command, seen: list[Seen], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    written = circles("circles:1", "circles:2", "--html", file, "--worst", 2)
    assert (written.exit_code, written.stdout.endswith(f"it is in {file}\n")) == (0, True)
    text = file.read_text()
    counts = obvious(seen, "1", "2")["groups"]["all"]
    assert f"in {counts['images']} images; {counts['unchanged']} images are the same.</h1>" in text
    assert text.count("<article") == text.count("the bytes of this image are gone or changed") == 2
    again = circles("circles:1", "circles:2", "--html", file)
    assert str(again.exception) == f"{file} is there already"
    assert circles("circles:1", "circles:9", "--html", tmp_path / "none.html").exit_code == 1
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["circles:1", "circles:4"], "no detections of circles:4 in the view, but of circles:1, circles:2"),
        (["circles:1", "circles:3"], "no image in common: circles:1 has looked at"),
        (["circles:1", "circles:2", "--project", "x"], "an image that passes the filters (project x)"),
        (["circles:1", "circles"], "'circles' is no NAME:VERSION, as circles:2 is"),
        (["circles:1", "circles:2", "--since", "now"], "'now' is no time"),
        (["circles:1", "circles:2", "--min-iou", "0"], "it has to be above 0 and at most 1"),
        (["circles:1", "circles:2+min_score=0.5", "--min-score-b", "0.5"], "has a least score of its own"),
        (["circles:1", "circles:2", "--html", "page.htm"], "page.htm is no name of a .html file"),
        (["circles:1", "circles:2", "--images", "images.csv"], "images.csv is no name of a .parquet file"),
        (["circles:1", "circles:2", "--images", "missing/images.parquet"], "there is no folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said(circles: Command, arguments: list[str], reason: str) -> None:
    result = circles(*arguments)
    assert isinstance(result.exception, ValueError)
    assert reason in str(result.exception)


def test_a_reason_is_one_line_and_the_status_is_1(place: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "compare", "circles:1", "circles:4"],
        env=os.environ | place, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    said = "there are no detections of circles:4 in the view, but of circles:1, circles:2, circles:3\n"
    assert done.stderr == said
