"""Reads while events come in: look-ups, pages and statistics over a large window, and those of PostgreSQL."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

import httpx
import psutil
import psycopg
import uuid_utils.compat as uuids

from bench import events
from bench.load import Load, Request, figures, load
from bench.measure import Figure, Say, interleaved, median, percentile
from bench.stack import infrastructure, limits, processes, produce
from bench.upload import EMPTY
from deploy.local.ports import free_ports
from deploy.local.supervise import running
from streams import lake
from streams.settings import Settings
from streams.topics import DETECTED, UPLOADED

IMAGES = int(os.environ.get("IMAGES", "1000000"))
DAYS = 10
ROUNDS = 4
SECONDS = 4.0
EVENTS_PER_S = 1_000
LOOK_UP, PAGE, STATISTIC = "look-up", "page of 100 filtered images", "statistics of a day"
FROM_MEMORY_MS = 40
# As the fold would have left it: ids in the order of time, evenly over some days up to now.
HISTORY = (
    """CREATE OR REPLACE TEMP TABLE block AS
       SELECT i,
              now() - ($images - i) * ($days * INTERVAL 1 DAY / $images) AS taken,
              (lpad(to_hex(epoch_ms(taken)), 12, '0') || '7' || right(md5(i::VARCHAR), 19))::UUID AS image_id
       FROM range($begin, $end) AS r (i)""",
    """INSERT INTO lake.images BY NAME
       SELECT image_id, 'default' AS project_id, 'camera ' || i % 16 AS source_id,
              'file:///' || image_id AS uri,
              md5(i::VARCHAR) || md5(i::VARCHAR) AS sha256, 'image/jpeg' AS content_type, 640 AS width,
              480 AS height, 100_000 AS size_bytes, taken AS uploaded_at, '{}' AS attributes,
              0 AS log_partition, -i - 1 AS log_offset FROM block""",
    """INSERT INTO lake.detections BY NAME
       SELECT image_id, 'default' AS project_id, 'circles' AS model_name, '1' AS model_version,
              10 AS circle_count, 10 AS latency_ms, taken + INTERVAL 50 MILLISECOND AS detected_at,
              0 AS source_partition, -i - 1 AS source_offset FROM block""",
    """INSERT INTO lake.objects BY NAME
       SELECT image_id, md5(i || ' ' || n)::UUID AS object_id, 'circles' AS model_name,
              '1' AS model_version, x, y, radius, score, x - radius AS x_min, y - radius AS y_min,
              x + radius AS x_max, y + radius AS y_max
       FROM (SELECT image_id, i, n, random() * 640 AS x, random() * 480 AS y, random() * 40 AS radius,
                    random() AS score FROM block, range(10) AS r (n))
       ORDER BY image_id""",
)
IN_POSTGRES = """
CREATE INDEX ON bench.objects (image_id);
CREATE INDEX ON bench.images (uploaded_at DESC, image_id DESC);
CREATE INDEX ON bench.images (source_id, uploaded_at DESC, image_id DESC);
ANALYZE bench.images; ANALYZE bench.objects"""


def run(say: Say) -> list[Figure]:
    [port] = free_ports(1)
    with infrastructure() as found:
        settings = found.model_copy(update={"window_images": 2 * IMAGES})
        say(f"making a view of {IMAGES:,} images with {events.CIRCLES} circles each")
        ids = fill(settings, IMAGES)
        with processes(settings, "materializer", "maintainer"):
            with (
                processes(settings, "api") as api,
                running(settings.data_dir / "logs", limits(settings.data_dir / "stored", port)) as others,
                arriving(settings),
            ):
                loading = _until_loaded(settings, ids, say)
                ours, limit = psutil.Process(api.pids()["api"]), psutil.Process(others.pids()["limits"])
                memory = ours.memory_info().rss / 1e6
                url = settings.api_url
                empty = itertools.repeat(Request("GET", f"http://127.0.0.1:{port}/empty"))
                asked = partial(load, server=ours, seconds=SECONDS)
                cases: dict[str, Callable[[], Load]] = {
                    LOOK_UP: partial(asked, look_ups(url, ids)),
                    EMPTY: partial(load, empty, limit, seconds=SECONDS),
                    PAGE: partial(asked, pages(url)),
                    STATISTIC: partial(asked, statistics(url)),
                    f"{PAGE}, one at a time": partial(asked, pages(url), connections=1),
                    f"{STATISTIC}, one at a time": partial(asked, statistics(url), connections=1),
                }
                say("warming up")
                for case in cases.values():
                    case()
                measured = interleaved(ROUNDS, cases, say)
            say("the same asked of PostgreSQL")
            postgres = in_postgres(settings, ids)
            say("starting the API again")
            with processes(settings, "api"):
                served = _served_after(settings, ids)
    return [
        median("images in the window", "images", [IMAGES]),
        median("loading the window", "s", [loading]),
        median("from the start of the process to its first look-up", "s", [served]),
        median("memory of the API", "MB", [memory]),
        *figures(measured, [name for name in measured if name != EMPTY], [EMPTY]),
        *(percentile(f"PostgreSQL alone: {n}", "ms", p, [t]) for n, t in postgres.items() for p in (50, 99)),
    ]


def fill(settings: Settings, images: int) -> list[str]:
    """A view as if it had been folded before; some of its images' ids."""
    lake.create(settings)
    with lake.connect(settings, read_only=False) as view:
        for begin in range(0, images, 500_000):
            values = {"images": images, "days": DAYS, "begin": begin, "end": min(images, begin + 500_000)}
            for statement in HISTORY:
                view.execute(statement, {n: v for n, v in values.items() if f"${n}" in statement})
        some = view.execute("SELECT image_id FROM lake.images USING SAMPLE 20_000").fetchall()
    return [str(image_id) for (image_id,) in some]


@contextmanager
def arriving(settings: Settings) -> Iterator[None]:
    """EVENTS_PER_S uploads and detections on the log, half of each, while the block runs."""
    stop = threading.Event()

    def produce_on() -> None:
        due = time.monotonic()
        while not stop.is_set():
            ids = [uuids.uuid7() for _ in range(EVENTS_PER_S // 20)]
            produce(settings, UPLOADED, (events.uploaded(i, f"file:///{i}", b"-") for i in ids))
            produce(settings, DETECTED, events.detected(len(ids), ids))
            due += 0.1
            stop.wait(max(0, due - time.monotonic()))

    thread = threading.Thread(target=produce_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def look_ups(url: str, ids: Sequence[str]) -> Iterator[Request]:
    pick = random.Random(1)
    while True:
        yield Request("GET", f"{url}/images/{pick.choice(ids)}/objects")


def pages(url: str) -> Iterator[Request]:
    """Of detected images of one camera with circles, from some time back."""
    pick = random.Random(2)
    while True:
        until = datetime.now(UTC) - timedelta(days=pick.uniform(0, DAYS - 1))
        asked = {
            "limit": 100, "source": f"camera {pick.randrange(16)}", "status": "detected", "min_circles": 3,
            "until": until.isoformat(),
        }  # fmt: skip
        yield Request("GET", f"{url}/images?{urlencode(asked)}")


def statistics(url: str) -> Iterator[Request]:
    """In turn: circles an hour by source, and the histogram of radii, of a day."""
    pick = random.Random(3)
    while True:
        since = datetime.now(UTC) - timedelta(days=pick.uniform(1, DAYS))
        day = {"since": since.isoformat(), "until": (since + timedelta(days=1)).isoformat()}
        yield Request("GET", f"{url}/statistics/images?{urlencode(day | {'bucket': 'hour', 'by': 'source'})}")
        yield Request("GET", f"{url}/statistics/radius?{urlencode(day)}")


def in_postgres(settings: Settings, ids: Sequence[str]) -> Mapping[str, list[float]]:
    """Milliseconds of the same questions over the same rows in PostgreSQL, one at a time, rows fetched."""
    pick = random.Random(4)
    url = settings.catalog_url.get_secret_value()
    with lake.connect(settings, read_only=True) as view:
        view.execute(f"ATTACH '{url}' AS pg (TYPE postgres); CREATE SCHEMA pg.bench")
        view.execute("""CREATE TABLE pg.bench.images AS
            SELECT image_id, source_id, uploaded_at, sha256, width, height, circle_count, detected_at
            FROM lake.images JOIN lake.detections USING (image_id)""")
        view.execute("""CREATE TABLE pg.bench.objects AS
            SELECT image_id, object_id, x, y, radius, score, x_min, y_min, x_max, y_max FROM lake.objects""")
    found: dict[str, list[float]] = {LOOK_UP: [], PAGE: [], STATISTIC: []}
    with psycopg.connect(url, autocommit=True) as catalog:
        catalog.execute(IN_POSTGRES)
        for _ in range(200):
            until = datetime.now(UTC) - timedelta(days=pick.uniform(1, DAYS - 1))
            day = (until, until + timedelta(days=1))
            queries: dict[str, tuple[Any, Any]] = {
                LOOK_UP: (
                    "SELECT * FROM bench.objects WHERE image_id = %s ORDER BY score DESC",
                    [pick.choice(ids)],
                ),
                PAGE: (
                    "SELECT * FROM bench.images WHERE source_id = %s AND uploaded_at < %s"
                    " AND circle_count >= 3 ORDER BY uploaded_at DESC, image_id DESC LIMIT 101",
                    [f"camera {pick.randrange(16)}", until],
                ),
                STATISTIC: (
                    "SELECT floor(radius / 5), count(*) FROM bench.objects JOIN bench.images USING (image_id)"
                    " WHERE uploaded_at >= %s AND uploaded_at < %s GROUP BY 1",
                    day,
                ),
            }
            for name, (query, values) in queries.items():
                if name == STATISTIC and len(found[name]) >= 20:
                    continue
                began = time.perf_counter()
                catalog.execute(query, values).fetchall()
                found[name].append((time.perf_counter() - began) * 1000)
    return found


def _until_loaded(settings: Settings, ids: Sequence[str], say: Say) -> float:
    """Wait until look-ups no longer go to the lake; how long that took from the first answer, in seconds."""
    began = time.monotonic()
    say("waiting for the window")
    with httpx.Client(base_url=settings.api_url, timeout=60) as api:
        while time.monotonic() < began + 300:
            times = []
            for image_id in ids[:20]:
                asked = time.perf_counter()
                api.get(f"/images/{image_id}/objects").raise_for_status()
                times.append((time.perf_counter() - asked) * 1000)
            if sorted(times)[len(times) // 2] < FROM_MEMORY_MS:
                return time.monotonic() - began
    raise AssertionError("the window was not loaded in five minutes")


def _served_after(settings: Settings, ids: Sequence[str]) -> float:
    """Seconds from the API's start to the answer to a look-up."""
    began = next(
        process.create_time()
        for process in psutil.Process().children(recursive=True)
        if "query_api" in " ".join(process.cmdline())
    )
    httpx.get(f"{settings.api_url}/images/{ids[0]}/objects", timeout=60).raise_for_status()
    return time.time() - began
