"""The command `circles export` in a process of its own, on a lake that others write to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from streams import lake
from streams.settings import Settings
from tests.integration.conftest import Fresh
from tests.integration.flow import wait_until

OBJECTS = (
    "INSERT INTO lake.objects BY NAME SELECT uuid() AS image_id, uuid() AS object_id, 'a' AS model_name,"
    " '1' AS model_version, random() AS x, random() AS y, 1 AS radius, random() AS score FROM range(?)"
)


@pytest.fixture(scope="module")
def settings(fresh: Fresh) -> Settings:
    settings = fresh()
    lake.create(settings)
    with lake.connect(settings, read_only=False) as view:
        view.execute(OBJECTS, [1000])
    return settings


def command(settings: Settings, to: Path, *options: str) -> subprocess.Popen[str]:
    own = {"CATALOG_URL": settings.catalog_url.get_secret_value(), "LAKE_URL": settings.lake_path}
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "export", "--to", str(to), *options],
        env=os.environ | own | {"COLUMNS": "160"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def export(settings: Settings, to: Path, *options: str) -> tuple[int | None, str, str]:
    process = command(settings, to, *options)
    said, wrong = process.communicate(timeout=60)
    return process.returncode, said, wrong


def test_a_file_is_written_once_and_again_only_by_force(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    code, said, wrong = export(settings, file)
    assert (code, wrong) == (0, "")
    assert said.startswith("1,000 objects as of snapshot ") and said.endswith(f" are in {file}\n")
    with duckdb.connect() as reader:
        counted = reader.execute("SELECT count(DISTINCT object_id) FROM read_parquet(?)", [str(file)])
        assert counted.fetchall() == [(1000,)]
    code, _, wrong = export(settings, file, "--image-id", "01939f3e-8a00-7c3f-9d52-6f1c0e8a4b21")
    assert (code, wrong) == (1, f"{file} is there already: --force replaces it\n")
    code, said, _ = export(settings, file, "--force", "--image-id", "01939f3e-8a00-7c3f-9d52-6f1c0e8a4b21")
    assert (code, said.split()[:2]) == (0, ["0", "objects"])
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        (
            "out.txt",
            [],
            "what is out.txt to be? End its name in .parquet, .csv, .jsonl, .ndjson, .json, or say",
        ),
        ("missing/out.csv", [], "there is no folder"),
        ("out.json", ["--table", "images"], "--table does not apply to coco"),
        ("out.csv", ["--table", "images", "--min-score", "0.5"], "--min-score does not apply to images"),
        ("out.csv", ["--since", "now"], "'now' is no time: 2026-01-31 and"),
        ("out.csv", ["--table", "secrets"], "Invalid value for '--table'"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    settings: Settings, tmp_path: Path, name: str, options: list[str], reason: str
) -> None:
    code, _, wrong = export(settings, tmp_path / name, *options)
    assert code in (1, 2)
    assert reason in wrong
    assert "Traceback" not in wrong
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def large(fresh: Fresh) -> Settings:
    settings = fresh()
    lake.create(settings)
    with lake.connect(settings, read_only=False) as view:
        view.execute(OBJECTS, [2_000_000])
        view.execute(
            "INSERT INTO lake.detections BY NAME SELECT image_id, model_name, model_version FROM lake.objects"
        )
        view.execute("INSERT INTO lake.images BY NAME SELECT image_id, 'file:///a' AS uri FROM lake.objects")
    return settings


@pytest.mark.parametrize("name", ["out.csv", "out.json"])
def test_an_interrupted_export_leaves_nothing(large: Settings, tmp_path: Path, name: str) -> None:
    process = command(large, tmp_path / name)
    os.setpriority(os.PRIO_PROCESS, process.pid, 19)  # on a busy machine it is the one that waits, not we
    wait_until(lambda: any(path.stat().st_size for path in tmp_path.glob(f".{name}.*/{name}")))
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert "Traceback" not in wrong
    assert list(tmp_path.iterdir()) == []
