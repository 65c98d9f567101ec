"""`circles compare` of a large view: seconds and memory of the command, beside only reading the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

import orjson

from bench import events
from bench.measure import Figure, Say, interleaved, median, ratio
from bench.reading import IMAGES, fill
from bench.stack import infrastructure
from streams import lake
from streams.settings import Settings

ROUNDS = 3
BLOCK = 250_000
COMPARE, READ = "circles compare", "only reading the same rows"
BLOCKS = """
SELECT min(image_id) AS first, max(image_id)
FROM (SELECT image_id, ntile($blocks) OVER (ORDER BY image_id) AS block FROM lake.images)
GROUP BY block ORDER BY first"""
# One circle of fifty is gone and one of fifty elsewhere; the others are up to .7 px off and up to 2 % larger.
SECOND = (
    """INSERT INTO lake.objects BY NAME
       SELECT image_id, uuid() AS object_id, 'circles' AS model_name, '2' AS model_version, x, y, radius,
              score, x - radius AS x_min, y - radius AS y_min, x + radius AS x_max, y + radius AS y_max
       FROM (SELECT image_id, x + random() - .5 + CASE WHEN random() < .02 THEN 100 ELSE 0 END AS x,
                    y + random() - .5 AS y, radius * (1 + .02 * random()) AS radius, score
             FROM lake.objects
             WHERE model_version = '1' AND image_id BETWEEN $first AND $last AND random() >= .02)
       ORDER BY image_id""",
    """INSERT INTO lake.detections BY NAME
       SELECT * EXCLUDE (found) REPLACE ('2' AS model_version, coalesce(found, 0) AS circle_count)
       FROM lake.detections LEFT JOIN (
           SELECT image_id, count(*) AS found FROM lake.objects
           WHERE model_version = '2' AND image_id BETWEEN $first AND $last GROUP BY image_id) USING (image_id)
       WHERE image_id BETWEEN $first AND $last AND model_version = '1'""",
)
ROWS = """SELECT image_id, x, y, radius, score FROM lake.objects
          WHERE model_name = 'circles' AND model_version IN ('1', '2')"""


class Took(NamedTuple):
    seconds: float
    peak_mb: float


def run(say: Say) -> list[Figure]:
    with infrastructure() as settings:
        say(f"making a view of {IMAGES:,} images with {events.CIRCLES} circles each")
        fill(settings, IMAGES)
        say("and a second version of the circles")
        add_second(settings)
        cases: dict[str, Callable[[], Took]] = {
            COMPARE: partial(compared, settings),
            READ: partial(apart, settings),
        }
        found = interleaved(ROUNDS, cases, say)
    seconds = {name: [took.seconds for took in rounds] for name, rounds in found.items()}
    return [
        median("images", "images", [IMAGES]),
        *(median(name, "s", rounds) for name, rounds in seconds.items()),
        ratio(COMPARE, seconds[COMPARE], seconds[READ], READ),
        median(f"{COMPARE}, memory at most", "MB", [took.peak_mb for took in found[COMPARE]]),
        median(f"{READ}, memory at most", "MB", [took.peak_mb for took in found[READ]]),
    ]


def add_second(settings: Settings) -> None:
    """As a replay of all images through another version would have left it."""
    with lake.connect(settings, read_only=False) as view:
        blocks = view.execute(BLOCKS, {"blocks": -(-IMAGES // BLOCK)}).fetchall()
        for first, last in blocks:
            for statement in SECOND:
                view.execute(statement, {"first": first, "last": last})


def compared(settings: Settings) -> Took:
    """The command in a process of its own, from its start to its end."""
    own = {"CATALOG_URL": settings.catalog_url.get_secret_value(), "LAKE_URL": settings.lake_path}
    command = [sys.executable, "-m", "deploy.cli", "compare", "circles:1", "circles:2", "--json"]
    began = time.perf_counter()
    with subprocess.Popen(command, env=os.environ | own, stdout=subprocess.PIPE) as process:
        assert process.stdout
        said = orjson.loads(process.stdout.read())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    counts = said["counts"]
    assert (counts["images"], counts["a_circles"]) == (IMAGES, IMAGES * events.CIRCLES), counts
    assert 0 < counts["gained"] < counts["lost"] < counts["matched"], counts
    return Took(time.perf_counter() - began, used.ru_maxrss / 1024)


def apart(settings: Settings) -> Took:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(read, settings).result()


def read(settings: Settings) -> Took:
    """In this process: all rows as Arrow, each batch let go of."""
    import resource

    began, rows = time.perf_counter(), 0
    with lake.connect(settings, read_only=True) as view:
        for batch in view.execute(ROWS).to_arrow_reader(1_000_000):
            rows += len(batch)
    assert rows > 1.9 * IMAGES * events.CIRCLES
    return Took(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
