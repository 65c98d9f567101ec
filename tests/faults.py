"""Kill every process in turn while images pass, and count what was lost or doubled: `make faults`.

Each run starts `circles up` on an empty folder and sends images in as many portions as there are faults.
During each portion one process (the supervisor too) is killed with SIGKILL after a random number of its
images. At the end the view is compared with what the API accepted. Seeded: the same seed kills the same
processes after the same images.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import cv2
import duckdb
import httpx
import numpy as np
import psutil
from PIL import Image

from deploy.local.ports import free_ports
from streams import lake
from streams.settings import STACK_ENV, Settings

PROCESSES = (
    "kafka",
    "postgres",
    "model",
    "worker",
    "materializer",
    "maintainer",
    "replayer",
    "api",
    "supervisor",
)
KILLS = 3
"""Of each process in each run."""
COMES_BACK_S = 120
T = TypeVar("T")


def photograph(number: int) -> bytes:
    """A small PNG of its own bytes for each number: discs on a noisy ground."""
    random_ = np.random.default_rng(number)
    pixels = random_.normal(90, 6, (180, 240)).clip(0, 255).astype(np.uint8)
    for x in (50, 120, 190):
        centre = (x, int(random_.integers(60, 120)))
        cv2.circle(pixels, centre, int(random_.integers(18, 32)), int(random_.integers(160, 250)), -1)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@dataclass
class Stack:
    """`circles up` as a user runs it, in a process of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        environment = os.environ | {"CIRCLES_DATA_DIR": str(self.folder), "API_PORT": str(self.port)}
        with (self.folder / "up.log").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "up"], env=environment, stdout=output, stderr=output
            )
        wait_for((self.folder / STACK_ENV).exists, "the stack")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(30)

    def pids(self) -> dict[str, int]:
        try:
            pids: dict[str, int] = json.loads((self.folder / "processes.json").read_text())
        except FileNotFoundError:
            return {}
        return pids

    def kill(self, name: str) -> None:
        """SIGKILL, then wait for its successor. Fails when the victim lives on or no successor comes."""
        assert self.process
        if name == "supervisor":
            children = [psutil.Process(pid) for pid in self.pids().values() if psutil.pid_exists(pid)]
            self.process.kill()
            self.process.wait()
            _, orphans = psutil.wait_procs(children, timeout=10)
            assert not orphans, f"orphans of the supervisor: {orphans}"
            (self.folder / STACK_ENV).unlink()
            self.start()
            return
        wait_for(lambda: name in self.pids(), f"a living {name}")
        victim = self.pids()[name]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: self.pids().get(name) not in (None, victim), f"a successor of {name}")


@dataclass
class Sender:
    """Uploads each photograph until the API has answered for it."""

    stack: Stack
    accepted: dict[int, str] = field(default_factory=dict)

    def send(self, number: int) -> None:
        data = photograph(number)
        deadline = time.monotonic() + COMES_BACK_S
        while time.monotonic() < deadline:
            try:
                answer = httpx.post(
                    f"{self.stack.url}/images/",
                    files={"file": (f"{number}.png", data)},
                    headers={"Prefer": "respond-async"},
                    timeout=30,
                )
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            # 409: an earlier try was accepted, and its answer died with a process.
            if answer.status_code in (202, 409):
                self.accepted[number] = answer.json()["image_id"]
                return
            assert answer.status_code == 503, f"{answer.status_code}: {answer.text}"
            time.sleep(0.2)
        raise AssertionError(f"image {number} was not accepted within {COMES_BACK_S} s")


@dataclass(frozen=True)
class Verdict:
    lost: int
    double: int
    dead_letters: int


def run(folder: Path, images: int, chance: random.Random, say: Callable[[str], None]) -> tuple[int, Verdict]:
    """One run; how many faults fired, and the verdict."""
    faults = [name for name in PROCESSES for _ in range(KILLS)]
    chance.shuffle(faults)
    stack = Stack(folder, free_ports(1)[0])
    stack.start()
    try:
        sender = Sender(stack)
        portions = np.array_split(np.arange(images), len(faults))
        with ThreadPoolExecutor(4) as threads:
            for name, portion in zip(faults, portions, strict=True):
                sent = [threads.submit(sender.send, int(number)) for number in portion]
                after = chance.randrange(len(portion))
                sent[after].result()
                began = time.monotonic()
                stack.kill(name)
                took = time.monotonic() - began
                say(f"killed {name:<13}at image {portion[after]:>5}, back after {took:.1f} s")
                for upload in sent:
                    upload.result()
        return len(faults), verdict(folder, sender.accepted)
    finally:
        stack.stop()


def verdict(folder: Path, accepted: dict[int, str]) -> Verdict:
    """Wait until the view stands still, then compare it with what was accepted."""
    settings = Settings(_env_file=folder / STACK_ENV)
    view = wait_for(lambda: try_connect(settings), "the catalog")
    with view:
        view.execute("CREATE TEMP TABLE accepted (image_id UUID)")
        view.executemany(
            "INSERT INTO accepted VALUES (?)", [[image_id] for image_id in set(accepted.values())]
        )
        unfinished = """
            SELECT count(*) FROM accepted WHERE image_id NOT IN (SELECT image_id FROM lake.images)
            OR image_id NOT IN (SELECT image_id FROM lake.detections
                                UNION ALL SELECT image_id FROM lake.failures WHERE image_id IS NOT NULL)
        """
        with suppress(AssertionError):  # what is still missing then is lost, and counted below
            wait_for(lambda: number(view, unfinished) == 0, "every accepted image")
        # Without its circles an image is lost, too.
        incomplete = """
            SELECT count(*) FROM lake.detections d WHERE circle_count <> (
                SELECT count(*) FROM lake.objects o WHERE o.image_id = d.image_id)
        """
        double = [
            "SELECT count(*) - count(DISTINCT image_id) FROM lake.images",
            "SELECT count(*) - count(DISTINCT sha256) FROM lake.images",
            "SELECT count(*) - count(DISTINCT image_id) FROM lake.detections",
            "SELECT count(*) - count(DISTINCT object_id) FROM lake.objects",
        ]
        return Verdict(
            lost=number(view, unfinished) + number(view, incomplete),
            double=sum(number(view, sql) for sql in double),
            dead_letters=number(view, "SELECT count(*) FROM lake.failures"),
        )


def try_connect(settings: Settings) -> duckdb.DuckDBPyConnection | None:
    try:
        return lake.connect(settings, read_only=True)
    except duckdb.Error:
        return None


def number(view: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(view.execute(sql).fetchall()[0][0])


def wait_for(condition: Callable[[], T | None], what: str) -> T:
    deadline = time.monotonic() + COMES_BACK_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {COMES_BACK_S} s"
        time.sleep(0.05)
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    fired = lost = double = dead_letters = 0
    for index in range(options.runs):
        chance = random.Random(options.seed + index)
        began = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        print(f"run {index + 1}: seed {options.seed + index}, logs in {folder}/logs", flush=True)
        faults, seen = run(folder, options.images, chance, lambda line: print(line, flush=True))
        if not seen.lost + seen.double:
            shutil.rmtree(folder)
        fired, lost, double = fired + faults, lost + seen.lost, double + seen.double
        dead_letters += seen.dead_letters
        print(f"run {index + 1}: {seen} after {time.monotonic() - began:.0f} s", flush=True)
    print(
        f"{options.runs} runs, {fired} faults fired, {options.runs * options.images} images accepted, "
        f"{dead_letters} dead letters, {lost} lost, {double} double"
    )
    sys.exit(1 if lost or double else 0)


if __name__ == "__main__":
    main()
