"""The command `circles` as a user runs it: the whole stack in its own processes, on real photographs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from skimage.data import coins

from deploy.local.ports import free_ports
from tests.detector.evaluation import matched


@dataclass
class Demo:
    """`circles demo`, up, with what it printed."""

    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    output: Path

    def circles(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return circles(self.environment, *arguments)


def circles(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def start(environment: dict[str, str], output: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", *arguments], env=environment, stdout=file, stderr=file
        )
    deadline = time.monotonic() + 120
    while "Everything is up" not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)
    return process


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    own = {"CIRCLES_DATA_DIR": str(tmp_path_factory.mktemp("stack")), "API_PORT": str(free_ports(1)[0])}
    return os.environ | own | {"COLUMNS": "160"}


@pytest.fixture(scope="module")
def demo(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    output = tmp_path_factory.mktemp("output") / "demo.log"
    process = start(environment, output, "demo")
    try:
        yield Demo(environment, process, output)
    finally:
        process.terminate()
        process.wait(20)


def test_the_demo_finds_the_coins_and_says_what_to_do_next(demo: Demo) -> None:
    printed = demo.output.read_text()
    (found,) = re.findall(r"coins\.png\s*│\s*(\d+)", printed)
    assert 20 <= int(found) <= 27
    assert printed.count("camera, frame") == 6
    curl = re.search(r"curl -s (\S+)", printed)
    assert curl
    assert httpx.get(curl[1], timeout=60).json()["count"] == int(found)


def test_circles_found_are_those_of_the_ground_truth(demo: Demo) -> None:
    """Of the 24 coins at least 20 are found, and at most 3 circles are none."""
    url = httpx.URL(f"http://127.0.0.1:{demo.environment['API_PORT']}")
    whole = url.join("/images?limit=100&include=objects")
    images = httpx.get(whole, timeout=60).json()["images"]
    (photograph,) = [i for i in images if (i["width"], i["height"]) == coins().shape[::-1]]
    found = np.array([o["bbox"] for o in photograph["objects"]])
    truth = np.array(json.loads(Path("tests/detector/coins.json").read_text())["boxes"])
    right = matched(found, truth)
    assert right >= 20
    assert len(found) - right <= 3


def test_status_comes_to_say_that_nothing_waits(demo: Demo) -> None:
    """The worker commits once a second."""
    deadline = time.monotonic() + 30
    while "nothing waits" not in (shown := demo.circles("status")).stdout:
        assert (shown.returncode, time.monotonic() < deadline) == (0, True), shown
    assert shown.stdout.count("images.uploaded ") == 2
    assert "does not run" not in shown.stdout


def test_a_second_up_on_the_same_folder_says_that_one_is_running(demo: Demo) -> None:
    second = demo.circles("up")
    assert second.returncode == 1
    assert f"already running (pid {demo.process.pid})" in second.stderr
    assert f":{demo.environment['API_PORT']}" in second.stderr


def test_send_takes_files_folders_and_globs_and_says_what_became_of_each(demo: Demo, tmp_path: Path) -> None:
    folder = tmp_path / "some [brackets]"
    folder.mkdir()
    photograph = Image.fromarray(coins())
    photograph.crop((0, 0, 200, 150)).save(folder / "a.png")
    photograph.crop((0, 0, 180, 150)).save(tmp_path / "b.jpg")
    photograph.crop((0, 0, 180, 150)).save(tmp_path / "c.webp")
    (tmp_path / "bad.jpg").write_text("no image")
    sent = demo.circles("send", str(folder), str(tmp_path / "*.*"))
    assert "3 accepted" in sent.stdout
    assert "0 still under way" in sent.stdout
    assert re.search(r"refused +\S*bad.jpg: not an image", sent.stdout)
    assert sent.returncode == 1
    again = demo.circles("send", str(folder))
    assert ("1 sent before" in again.stdout, again.returncode) == (True, 0)
    nothing = demo.circles("send", str(tmp_path / "none"))
    assert ("no such file" in nothing.stderr, nothing.returncode) == (True, 1)


def test_the_commands_that_the_demo_ends_with_change_the_version_and_back(demo: Demo) -> None:
    (start, compare, promote) = re.findall(
        r"((?:replay start|compare|promote) .*circles:2)", demo.output.read_text()
    )
    began = time.monotonic()
    replayed = demo.circles(*start.split())
    assert re.search(r"finished: (\d+) of \1 detected", replayed.stdout), replayed
    compared = demo.circles(*compare.split())
    assert re.search(r"circles:2 finds .*circles:1\b.* in \d+ images; ", compared.stdout), compared
    assert re.search(r"Of \d+ true circles in 9 images circles:2 finds", compared.stdout), compared
    promoted = demo.circles(*promote.split())
    assert "circles:2 is the current one, before it was circles:1" in promoted.stdout, promoted
    assert time.monotonic() - began < 120  # on any machine: it takes an eighth of that
    began = time.monotonic()
    url = f"http://127.0.0.1:{demo.environment['API_PORT']}"
    with httpx.Client(base_url=url, timeout=60) as api:

        def served() -> set[str]:
            images = api.get("/images", params={"limit": 100}).json()["images"]
            return {image["detection"]["model_version"] for image in images}

        while (found := served()) != {"2"}:  # each process of the API comes to the snapshot by itself
            assert found == {"1"}, "no answer mixes them"
            assert time.monotonic() - began < 60
    assert "circles:1 is the current one" in demo.circles("promote", "--back").stdout
    assert demo.circles("promotions").stdout.count("circles:") == 5


def test_sql_reads_the_view_and_nothing_else(demo: Demo, tmp_path: Path) -> None:
    shown = demo.circles("sql", "select count(*) as images from images where source_id = 'camera'")
    assert re.search(r"images.*\n.*\n│ 6 +│", shown.stdout)
    assert demo.circles("sql", "show tables").returncode == 0
    for query in (
        "drop table images",
        f"copy images to '{tmp_path}/x.csv'",
        "select * from read_csv('/etc/hostname')",
        f"copy (select 1) to '{demo.environment['CIRCLES_DATA_DIR']}/lake/x.parquet'",
        "install httpfs",
        "selec 1",
    ):
        refused = demo.circles("sql", query)
        assert (refused.returncode, bool(refused.stderr)) == (1, True), query
        assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_settings_show_no_secret(demo: Demo) -> None:
    shown = demo.circles("settings").stdout
    assert "KAFKA_BOOTSTRAP_SERVERS" in shown
    environment = (Path(demo.environment["CIRCLES_DATA_DIR"]) / "stack.env").read_text()
    (password,) = re.findall(r"postgresql://[^:]+:([^@]+)@", environment)
    assert password not in shown


def test_a_command_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    missing = circles(os.environ | {"CIRCLES_DATA_DIR": str(tmp_path)}, "sql", "select 1")
    assert (missing.returncode, "circles up" in missing.stderr) == (1, True)
    assert "Traceback" not in missing.stderr


def test_kill_9_of_the_supervisor_leaves_no_orphan_and_no_image_is_lost(
    environment: dict[str, str], demo: Demo, tmp_path: Path
) -> None:
    """Last, as it ends the demo: a new `up` on the folder has every image, and SIGTERM ends it in time."""
    folder = Path(environment["CIRCLES_DATA_DIR"])
    url = f"http://127.0.0.1:{environment['API_PORT']}/images?limit=500"
    before = {image["image_id"] for image in httpx.get(url, timeout=60).json()["images"]}
    family = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(json.loads((folder / "processes.json").read_text())) == 8
    os.kill(demo.process.pid, signal.SIGKILL)
    demo.process.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []

    process = start(environment, tmp_path / "up.log", "up")
    assert {image["image_id"] for image in httpx.get(url, timeout=60).json()["images"]} == before
    family = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    process.terminate()
    assert process.wait(20) == 0
    assert time.monotonic() - began < 15
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
