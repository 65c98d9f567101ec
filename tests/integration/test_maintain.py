"""The maintainer as a process beside the fold; `circles maintain` and `circles scrub` as a user runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local.services import as_environment
from streams.settings import Settings
from streams.topics import DETECTED, UPLOADED
from tests.integration.conftest import Fresh
from tests.integration.flow import produce, query, stages, uploaded, wait_until
from tests.integration.test_fold import detected
from tests.lakes import asked, folder_of, manifest_of, on_disk


def circles(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    environment = os.environ | as_environment(settings) | {"COLUMNS": "160"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def often(fresh: Fresh) -> Settings:
    """Maintenance all the time, and every batch a commit of its own."""
    more = {"maintain_interval_s": 0.2, "file_grace_s": 3, "snapshot_retention_s": 1, "fold_linger_s": 0}
    return fresh(**more)


def folded(settings: Settings, count: int) -> None:
    """Fold so many images of three circles each, in small commits."""
    images = [uploaded() for _ in range(count)]
    with stages(settings, "materializer"):
        for start in range(0, count, 20):
            some = images[start : start + 20]
            produce(settings, UPLOADED, *some)
            produce(settings, DETECTED, *(detected(image.image_id) for image in some))
            time.sleep(0.05)
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.objects") == [(3 * count,)])


def test_the_view_is_exact_while_the_maintainer_is_killed_again_and_again(often: Settings) -> None:
    images = [uploaded() for _ in range(600)]
    with stages(often, "materializer", "maintainer") as supervisor:
        for start in range(0, 600, 20):
            some = images[start : start + 20]
            produce(often, UPLOADED, *some)
            produce(often, DETECTED, *(detected(image.image_id) for image in some))
            if start % 100 == 80:
                wait_until(lambda: "maintainer" in supervisor.pids())
                os.kill(supervisor.pids()["maintainer"], signal.SIGKILL)
        wait_until(lambda: query(often, "SELECT count(*) FROM lake.objects") == [(1800,)])
        wait_until(lambda: merged(often))
        wait_until(lambda: manifest_of(often).keys() == on_disk(often))  # orphans are swept, files deleted
        wait_until(lambda: asked(often, "SELECT sum(watermark) FROM circles.watermarks") == [(600,)])
    for table, rows in (("images", 600), ("detections", 600), ("objects", 1800)):
        key = "object_id" if table == "objects" else "image_id"
        sql = f"SELECT count(*), count(DISTINCT {key}) FROM lake.{table}"  # noqa: S608 our names
        assert query(often, sql) == [(rows, rows)]
    ended = circles(often, "scrub")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 are damaged" in ended.stdout
    assert "the catalog's offsets agree with the log" in ended.stdout


def merged(settings: Settings) -> bool:
    changes = "SELECT count(*) FROM {g}.ducklake_data_file WHERE partial_max IS NOT NULL"
    return asked(settings, changes) != [(0,)]


def test_circles_maintain_says_what_it_would_do_and_does_it(often: Settings) -> None:
    folded(often, 400)
    would = circles(often, "maintain", "--dry-run")
    assert would.returncode == 0, would.stderr
    assert "would merge   objects: " in would.stdout
    before = len(on_disk(often))
    done = circles(often, "maintain")
    assert done.returncode == 0, done.stderr
    assert "\nmerge   objects: " in done.stdout
    assert "\nexpire  " in done.stdout
    time.sleep(often.file_grace_s)
    assert "\ndelete  " in circles(often, "maintain").stdout
    assert len(on_disk(often)) < before
    # On a busy machine something of the last run may be due by now.
    wait_until(lambda: "nothing is due" in circles(often, "maintain").stdout)
    assert query(often, "SELECT count(*), count(DISTINCT object_id) FROM lake.objects") == [(1200, 1200)]


def test_circles_scrub_names_damage_and_lost_offsets_and_ends_with_1(often: Settings) -> None:
    folded(often, 100)
    path = sorted(folder_of(often).glob("main/objects/*"))[0]
    sound = path.read_bytes()
    path.write_bytes(sound[:-5] + bytes([sound[-5] ^ 4]) + sound[-4:])
    ended = circles(often, "scrub")
    assert ended.returncode == 1
    assert f"damaged  main/objects/{path.name}: its SHA-256 is " in ended.stdout
    assert " rows of objects, " in ended.stdout
    assert "offsets  " not in ended.stdout

    path.write_bytes(sound)
    produce(often, UPLOADED, *(uploaded() for _ in range(40)))  # nobody folds them
    admin = AdminClient({"bootstrap.servers": often.kafka_bootstrap_servers})
    places = [TopicPartition(UPLOADED.name, partition, -1) for partition in range(often.topic_partitions)]
    for future in admin.delete_records(places).values():
        future.result()
    ended = circles(often, "scrub")
    assert ended.returncode == 1
    assert "damaged" not in ended.stdout.replace("0 are damaged", "")
    assert "offsets  images.uploaded[" in ended.stdout
    assert "are lost" in ended.stdout


def test_scrub_names_a_topic_that_was_made_anew(often: Settings, fresh: Fresh) -> None:
    folded(often, 20)
    again = fresh(catalog_url=often.catalog_url, data_dir=often.data_dir)  # the topics made anew
    ended = circles(again, "scrub")
    assert ended.returncode == 1
    assert "offsets  images.uploaded was deleted and made anew" in ended.stdout
