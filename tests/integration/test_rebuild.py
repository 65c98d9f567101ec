"""`circles rebuild` over real stages: equal, interrupted, refused, and unnoticed by who reads and uploads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local.services import as_environment
from streams import generations, lake
from streams.compare import Compared
from streams.errors import GenerationInUse
from streams.generations import Generation
from streams.rebuild import Rebuild, building
from streams.settings import Settings
from streams.topics import DETECTED, UPLOADED, VIEW_GROUP
from tests.integration.conftest import Fresh
from tests.integration.flow import fullest, produce, query, stages, uploaded, wait_until
from tests.integration.test_fold import detected

COUNTS = "SELECT (SELECT count(*) FROM lake.images), (SELECT count(*) FROM lake.objects)"


def circles(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env=environment(settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | as_environment(settings) | {"COLUMNS": "200"}


def views(settings: Settings) -> dict[str, Generation]:
    with lake.catalog(settings) as catalog:
        return {each.name: each for each in generations.listed(catalog)}


def states(settings: Settings) -> dict[str, str]:
    return {each.name: each.state for each in views(settings).values()}


def silent(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def level(view: Rebuild) -> list[Compared]:
    view.follow(silent)
    return view.compare()


def put_images(settings: Settings, count: int, copies: int = 10) -> list[UUID]:
    """Images with three circles each on the log, some of them twice; their ids."""
    images = [uploaded() for _ in range(count)]
    produce(settings, UPLOADED, *images, *images[:copies])
    found = [detected(image.image_id) for image in images]
    produce(settings, DETECTED, *found, *found[:copies], b"no record")
    return [image.image_id for image in images]


@pytest.fixture
def folded(settings: Settings) -> Settings:
    """A live view of 100 images with 300 circles; its materializer has ended."""
    put_images(settings, 100)
    with stages(settings, "materializer"):
        wait_until(lambda: query(settings, COUNTS) == [(100, 300)])
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.failures") == [(1,)])
    return settings


def test_the_fresh_view_equals_the_live_one_and_takes_its_place(folded: Settings) -> None:
    committed = group_offsets(folded)
    rebuilt = circles(folded, "rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    tables = len(views(folded)["lake_2"].rows)
    assert rebuilt.stdout.count("│ equal") == tables > 4
    assert "lake_2 is live; lake_1 is kept until `circles views drop lake_1`" in rebuilt.stdout
    assert "221 of 221 messages" in rebuilt.stdout
    assert states(folded) == {"lake_1": "retired", "lake_2": "live"}
    assert query(folded, COUNTS) == [(100, 300)]
    assert group_offsets(folded) == committed

    listed = circles(folded, "views", "list").stdout
    assert listed.count("100 images, 100 detections, 300 objects, 1 failures, 0 retries") == 2
    assert circles(folded, "views", "drop", "lake_2").returncode == 1
    dropped = circles(folded, "views", "drop", "--retired")
    assert dropped.stdout.startswith("dropped lake_1: ")
    assert states(folded) == {"lake_2": "live"}
    assert [path.name for path in Path(folded.lake_path).iterdir()] == ["lake_2"]
    with lake.catalog(folded) as catalog:
        schemas = catalog.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'lake%'").fetchall()
        assert schemas == [("lake_2",)]
    assert query(folded, COUNTS) == [(100, 300)]


def group_offsets(settings: Settings) -> list[tuple[str, int, int]]:
    """What the view's group has committed in Kafka, which only lag tools read."""
    servers = {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": VIEW_GROUP}
    consumer = Consumer(servers)
    places = [
        TopicPartition(t.name, p) for t in (UPLOADED, DETECTED) for p in range(settings.topic_partitions)
    ]
    found = [(place.topic, place.partition, place.offset) for place in consumer.committed(places, timeout=20)]
    consumer.close()
    return found


def test_a_rebuild_that_is_killed_or_interrupted_goes_on_where_it_was(folded: Settings) -> None:
    """Many small commits give time to kill it in the middle, however busy the machine is."""
    put_images(folded, 400, copies=0)
    with stages(folded, "materializer"):
        wait_until(lambda: query(folded, COUNTS) == [(500, 1500)])
    slow = folded.model_copy(update={"fold_batch_size": 1})
    for number, status in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "rebuild"],
            env=environment(slow), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        before = folded_to(folded, "lake_2")
        wait_until(lambda before=before: folded_to(folded, "lake_2") > before + 20)  # type: ignore[misc]
        with pytest.raises(GenerationInUse, match="another process"), building(folded):
            pass
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == status
        assert states(folded) == {"lake_1": "live", "lake_2": "building"}
        assert 0 < folded_to(folded, "lake_2") < folded_to(folded, "lake_1")
    assert "`circles rebuild` goes on where this ended" in said
    with building(folded) as view:
        assert view.generation == "lake_2"
        assert all(each.difference is None for each in level(view))
        view.switch(silent)
    assert states(folded) == {"lake_1": "retired", "lake_2": "live"}


def folded_to(settings: Settings, generation: str) -> int:
    with lake.catalog(settings) as catalog:
        moved = "SELECT coalesce(sum(next_offset), 0)::int FROM circles.offsets WHERE generation = %s"
        return int(catalog.execute(moved, [generation]).fetchall()[0][0])


def test_differences_are_named_and_refused_unless_forced(folded: Settings) -> None:
    with lake.connect(folded, read_only=False) as damaged:
        ((image_id,),) = damaged.execute("SELECT max(image_id) FROM lake.images").fetchall()
        damaged.execute("DELETE FROM lake.images WHERE image_id = $id", {"id": image_id})
        damaged.execute("UPDATE lake.objects SET x = x + 1 WHERE image_id = $id", {"id": image_id})
    refused = circles(folded, "rebuild")
    assert refused.returncode == 1
    assert f"images: the live view lacks 1 rows; such as image {image_id}" in refused.stdout
    assert f"objects: the rows of 1 images differ (x); such as image {image_id}" in refused.stdout
    assert "the views differ in images, objects: lake_1 stays live" in refused.stderr
    assert states(folded) == {"lake_1": "live", "lake_2": "building"}
    assert circles(folded, "rebuild", "--only-compare").returncode == 1
    assert circles(folded, "rebuild", "--force").returncode == 0
    assert states(folded) == {"lake_1": "retired", "lake_2": "live"}
    assert query(folded, COUNTS) == [(100, 300)]


def test_files_that_are_damaged_do_not_hinder_a_rebuild(folded: Settings) -> None:
    for file in Path(lake.place(folded, "lake_1")).rglob("objects/*.parquet"):
        file.write_bytes(b"no Parquet")
    refused = circles(folded, "rebuild")
    assert refused.returncode == 1
    assert "objects: the live view's cannot be read: " in refused.stdout
    assert circles(folded, "rebuild", "--force").returncode == 0
    assert query(folded, COUNTS) == [(100, 300)]


def test_a_log_that_is_shorter_than_the_live_view_is_refused_by_name(folded: Settings) -> None:
    partition, _ = fullest(folded, UPLOADED)
    admin = AdminClient({"bootstrap.servers": folded.kafka_bootstrap_servers})
    for future in admin.delete_records([TopicPartition(UPLOADED.name, partition, 15)]).values():
        future.result()
    refused = circles(folded, "rebuild")
    assert refused.returncode == 1
    lost = f"15 messages that the live view is folded from (15 of images.uploaded[{partition}])"
    assert f"no longer holds {lost}" in refused.stderr
    assert states(folded) == {"lake_1": "live"}
    differing = circles(folded, "rebuild", "--force")
    assert differing.returncode == 0, differing.stderr
    ((images, _),) = query(folded, COUNTS)
    assert 85 <= images < 100
    assert f"images: the live view has {100 - images} rows that the log does not give" in differing.stdout


def test_a_topic_that_was_made_anew_is_folded_from_its_beginning_if_forced(
    folded: Settings, fresh: Fresh
) -> None:
    again = fresh(catalog_url=folded.catalog_url, data_dir=folded.data_dir)  # the topics made anew
    put_images(again, 7, copies=0)
    refused = circles(again, "rebuild")
    assert (refused.returncode, "no longer holds 221 messages" in refused.stderr) == (1, True)
    forced = circles(again, "rebuild", "--force")
    assert forced.returncode == 0, forced.stderr
    assert query(again, COUNTS) == [(7, 21)]
    put_images(again, 3, copies=0)
    with stages(again, "materializer"):
        wait_until(lambda: query(again, COUNTS) == [(10, 30)])


def test_one_may_go_back_to_a_retired_view(folded: Settings) -> None:
    assert circles(folded, "rebuild").returncode == 0
    put_images(folded, 20)
    with stages(folded, "materializer"):
        wait_until(lambda: query(folded, COUNTS) == [(120, 360)])
    unknown = circles(folded, "views", "switch", "lake_9")
    assert "there is no view 'lake_9'; there are: lake_1, lake_2" in unknown.stderr
    assert "already" in circles(folded, "views", "switch", "lake_2").stderr
    back = circles(folded, "views", "switch", "lake_1")
    assert back.returncode == 0, back.stderr
    assert states(folded) == {"lake_1": "live", "lake_2": "retired"}
    assert query(folded, COUNTS) == [(120, 360)]


def test_commits_to_a_retired_view_are_refused_and_its_materializer_goes_on_with_the_live_one(
    folded: Settings,
) -> None:
    """Stopped while the views are switched and the old one dropped, it wakes attached to what is gone."""
    with stages(folded, "materializer") as supervisor:
        put_images(folded, 1, copies=0)
        wait_until(lambda: query(folded, COUNTS) == [(101, 303)])
        pid = supervisor.pids()["materializer"]
        for number, drop in enumerate((False, True), 1):
            os.kill(pid, signal.SIGSTOP)
            with building(folded) as view:
                assert all(each.difference is None for each in level(view))
                view.switch(silent)
            if drop:
                generations.drop(folded, view.live)
            images = 101 + 2 * number
            put_images(folded, 2, copies=0)
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda images=images: query(folded, COUNTS) == [(images, images * 3)])  # type: ignore[misc]
            assert supervisor.pids()["materializer"] == pid
    assert states(folded) == {"lake_1": "retired", "lake_3": "live"}
