"""Maintenance on a real lake: what it does, what it leaves, and that nobody notices."""

from __future__ import annotations

import random
import threading
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import hypothesis.strategies as st
import psycopg
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from streams import lake
from streams.maintain import alone
from streams.maintenance import FILES_A_TIER, TARGET_BYTES, TIERS, Step, maintenance, merges
from streams.settings import Settings
from tests.lakes import asked, folder_of, folding, manifest_of, on_disk, read

SIZES = st.lists(st.integers(1_000, 2 * TARGET_BYTES), max_size=60)


def maintained(settings: Settings, **more: Any) -> list[Step]:
    with maintenance(settings, lake.live(settings)) as upkeep:
        return list(upkeep.steps(settings, **{"thorough": True} | more))


@given(SIZES)
def test_merging_ends_with_less_than_a_full_tier_and_leaves_large_files_alone(sizes: list[int]) -> None:
    large = [size for size in sizes if size >= TIERS[-1]]
    rewritten, files = 0, list(sizes)
    while due := merges({"objects": files}):
        for merge in due:
            assert all(merge.low <= size < merge.high <= TIERS[-1] for size in merge.sizes)
            for size in merge.sizes:
                files.remove(size)
            files.append(sum(merge.sizes))
            rewritten += sum(merge.sizes)
    assert len(files) < len(TIERS) * FILES_A_TIER + sum(size >= TIERS[-1] for size in files)
    assert [size for size in sizes if size in large] == large
    assert rewritten <= len(TIERS) * sum(sizes)


def test_rows_stay_the_same_in_few_files_in_the_order_of_their_ids(view: Settings) -> None:
    with folding(view) as commit:
        for count in [20, 40] * 20 + [2] * 3:
            commit(count)
        before = read(view, "FROM lake.objects ORDER BY ALL"), read(view, "FROM lake.detections ORDER BY ALL")
        assert len(on_disk(view)) >= 80
        steps = maintained(view)
        assert {step.name for step in steps} == {"flush", "merge", "expire"}
        maintained(view)  # deletes what the first merged
        after = read(view, "FROM lake.objects ORDER BY ALL"), read(view, "FROM lake.detections ORDER BY ALL")
        assert after == before
        commit(20)
    assert len(on_disk(view)) < 2 * FILES_A_TIER
    assert manifest_of(view).keys() == on_disk(view)
    for path in on_disk(view):
        rows = pq.read_table(folder_of(view) / path, columns=["image_id"]).to_pylist()
        assert rows == sorted(rows, key=itemgetter("image_id"))


def test_a_look_up_by_id_still_skips_files(view: Settings) -> None:
    with folding(view) as commit:
        images = [commit(40)[0] for _ in range(40)]
        maintained(view)
    sql = f"EXPLAIN ANALYZE SELECT count(*) FROM lake.objects WHERE image_id = '{images[0]}'"  # noqa: S608
    with lake.connect(view, read_only=True) as reader:
        ((_, plan),) = reader.execute(sql).fetchall()
    (files,) = asked(view, "SELECT count(*) FROM {g}.ducklake_data_file WHERE table_id = 3")[0]
    assert files > 1
    assert "Total Files Read: 1" in plan


def test_a_snapshot_that_is_young_enough_is_read_as_it_was_also_after_a_merge(view: Settings) -> None:
    with folding(view) as commit:
        for _ in range(10):
            commit(20)
        ((then, when),) = asked(
            view, "SELECT max(snapshot_id), max(snapshot_time) FROM {g}.ducklake_snapshot"
        )
        for _ in range(10):
            commit(20)
    with maintenance(view, lake.live(view)) as upkeep:
        assert sum(step.count for step in upkeep.merge()) == 40
        (expired,) = upkeep.expire(when, 1)
        assert expired.count == then  # counted from 0
    before = f"SELECT count(*) FROM lake.objects AT (VERSION => {then})"  # noqa: S608
    assert read(view, before) == [(10 * 20 * 3,)]
    assert read(view, "SELECT count(*) FROM lake.objects") == [(20 * 20 * 3,)]
    maintained(view)
    assert asked(view, "SELECT count(*) FROM {g}.ducklake_snapshot") == [(1,)]
    assert read(view, "SELECT count(*) FROM lake.objects") == [(20 * 20 * 3,)]


def test_a_file_that_was_replaced_stays_for_its_grace(view: Settings) -> None:
    with folding(view) as commit:
        for _ in range(8):
            commit(20)
    graceful = view.model_copy(update={"file_grace_s": 3600})
    before = on_disk(view)
    maintained(graceful)
    assert {step.name for step in maintained(graceful)} <= {"expire"}
    assert on_disk(view) > before
    assert manifest_of(view).keys() == on_disk(view)
    (deleted,) = [step for step in maintained(view) if step.name == "delete"]
    assert deleted.count == len(before)
    assert len(on_disk(view)) == 2


def test_an_orphan_stays_for_its_grace_and_what_is_not_of_this_view_for_good(view: Settings) -> None:
    with folding(view) as commit:
        commit(20)
    known = on_disk(view)
    orphan = folder_of(view) / "main" / "objects" / "ducklake-orphan.parquet"
    orphan.write_bytes(b"PAR1")
    beside = Path(view.lake_path) / "lake_9" / "main" / "a.parquet"
    beside.parent.mkdir(parents=True)
    beside.write_bytes(b"PAR1")
    maintained(view.model_copy(update={"file_grace_s": 60}))
    assert orphan.exists()
    assert [step.count for step in maintained(view) if step.name == "sweep"] == [1]
    assert on_disk(view) == known
    assert beside.exists()


def test_a_dry_run_says_what_a_run_does_and_does_nothing(view: Settings) -> None:
    with folding(view) as commit:
        for count in [2] + [20] * 8:
            commit(count)
    (folder_of(view) / "main" / "objects" / "ducklake-orphan.parquet").write_bytes(b"PAR1")

    def state() -> Any:
        tables = ("snapshot", "data_file", "files_scheduled_for_deletion")
        rows = (asked(view, f"SELECT * FROM {{g}}.ducklake_{table}") for table in tables)  # noqa: S608
        return [on_disk(view), manifest_of(view), *rows]

    before = state()
    said = maintained(view, dry_run=True)
    assert state() == before
    assert [step.name for step in said] == ["flush", "flush", "merge", "merge", "expire", "sweep"]
    done = maintained(view)
    assert [(s.name, s.table) for s in done] == [(s.name, s.table) for s in said]
    assert [str(step).split()[0] for step in done] == [step.name for step in done]


def test_little_is_left_until_it_is_more(view: Settings) -> None:
    with folding(view) as commit:
        commit(2)
    assert maintained(view, thorough=False) == []


def test_only_one_maintains_at_a_time(view: Settings) -> None:
    with lake.catalog(view) as one, lake.catalog(view) as other:
        with alone(one, wait=False) as first, alone(other, wait=False) as second:
            assert (first, second) == (True, False)
        with alone(other, wait=True) as third:
            assert third


def test_nothing_is_written_to_a_generation_that_is_retired(view: Settings) -> None:
    with folding(view) as commit:
        for _ in range(8):
            commit(20)
    with maintenance(view, lake.live(view)) as upkeep:
        upkeep.catalog.execute("UPDATE circles.generations SET state = 'retired'")
        with pytest.raises(duckdb.Error, match="no longer written"):
            list(upkeep.steps(view, thorough=True))
        held = upkeep.catalog.execute("SELECT count(*) FROM circles.files").fetchall()
    assert held == [(16,)]


def test_the_fold_and_readers_go_on_meanwhile(view: Settings) -> None:
    """A reader that sees a detection sees its circles, and none sees fewer rows than before."""
    stop, failures, seen = threading.Event(), list[str](), list[int]()
    kinds = {"flush", "merge", "expire", "delete"}
    grace = view.model_copy(update={"file_grace_s": 5, "snapshot_retention_s": 2})

    def reader() -> None:
        with lake.connect(view, read_only=True) as own:
            before = 0
            while not stop.is_set():
                ((objects, circles),) = own.execute("""
                    SELECT (SELECT count(*) FROM lake.objects),
                           (SELECT sum(circle_count) FROM lake.detections)
                """).fetchall()
                if objects != (circles or 0) or objects < before:
                    failures.append(f"{objects} circles of {circles}, {before} before")
                before = objects
                seen.append(objects)

    def maintainer() -> None:
        while not stop.is_set():
            steps.extend(maintained(grace))

    def guarded(work: Any) -> None:
        try:
            work()
        except Exception as error:  # a thread's error is the test's
            failures.append(f"{type(error).__name__}: {error}")

    steps: list[Step] = []
    threads = [threading.Thread(target=guarded, args=[work]) for work in (reader, reader, maintainer)]
    with folding(view) as commit:
        for thread in threads:
            thread.start()
        chance, images, began = random.Random(1), [], time.monotonic()

        def least() -> bool:
            return len(steps) >= 12 and kinds <= {step.name for step in list(steps)}

        while not failures and time.monotonic() - began < (15 if least() else 90):
            images += commit(chance.choice([1, 2, 20, 60]))
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert kinds <= {step.name for step in steps}
    assert len(set(seen)) > 10
    rows = read(view, "SELECT count(*), count(DISTINCT image_id) FROM lake.detections")
    assert rows == [(len(images), len(images))]
    assert read(view, "SELECT count(DISTINCT image_id) FROM lake.objects") == [(len(images),)]
    maintained(view.model_copy(update={"file_grace_s": 0}))
    maintained(view)
    assert manifest_of(view).keys() == on_disk(view)


def test_a_catalog_that_went_away_is_an_error_and_leaves_the_view_as_it_was(view: Settings) -> None:
    with folding(view) as commit:
        for _ in range(8):
            commit(20)
    with maintenance(view, lake.live(view)) as upkeep:
        steps = upkeep.steps(view, thorough=True)
        with lake.catalog(view) as other:
            other.execute("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                             WHERE datname = current_database() AND pid <> pg_backend_pid()""")
        with pytest.raises((psycopg.OperationalError, duckdb.Error)):
            list(steps)
    assert read(view, "SELECT count(*) FROM lake.objects") == [(8 * 20 * 3,)]
