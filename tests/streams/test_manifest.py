"""What a commit's files go through before it: on disk, in the manifest, and not in anyone else's commit."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from streams import lake, manifest
from streams.ledger import say
from streams.maintenance import maintenance
from streams.scrub import damage, files
from streams.settings import Settings
from tests.lakes import asked, folder_of, folding, manifest_of, on_disk, read

KILLED = """
import os, signal, sys
from pathlib import Path
from pydantic import SecretStr
from streams.ledger import Ledger
from streams.settings import Settings
from tests.lakes import folding
def die(*unused, **more):
    os.kill(os.getpid(), signal.SIGKILL)
settings = Settings(data_dir=Path(sys.argv[1]), catalog_url=SecretStr(sys.argv[2]))
with folding(settings) as commit:
    commit(20)
    Ledger.advance = die
    commit(20)
"""


def test_every_file_of_a_commit_is_in_the_manifest_with_its_size_and_digest(view: Settings) -> None:
    with folding(view) as commit:
        commit(20)
        commit(30)
    kept = manifest_of(view)
    assert len(kept) == 4
    assert kept.keys() == on_disk(view)
    for path, (size_bytes, sha256) in kept.items():
        data = (folder_of(view) / path).read_bytes()
        assert (size_bytes, sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_commit_that_is_kept_in_the_catalog_has_no_file(view: Settings) -> None:
    with folding(view) as commit:
        commit(2)
    assert manifest_of(view) == {}
    assert read(view, "SELECT count(*) FROM lake.detections") == [(2,)]


def test_files_and_folders_are_synced_before_the_commit(
    view: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is synced is noted with what was in the manifest at that moment."""
    synced: dict[str, int] = {}
    sync = os.fsync

    def noted(descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        synced[path] = len(manifest_of(view))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with folding(view) as commit:
        commit(20)
    folder = folder_of(view)
    made = {str(folder / path) for path in on_disk(view)}
    assert len(made) == 2
    above = {str(folder / "main" / "objects"), str(folder / "main"), str(folder), view.lake_path}
    assert made | above <= synced.keys()
    assert set(synced.values()) == {0}


def test_a_disk_that_is_full_fails_the_commit_and_the_next_one_goes_on(
    view: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with folding(view) as commit:
        with monkeypatch.context() as disk:
            disk.setattr(os, "fsync", full)
            with pytest.raises(duckdb.IOException, match="No space left"):
                commit(20)
        assert read(view, "SELECT count(*) FROM lake.objects") == [(0,)]
        commit(20)
    assert manifest_of(view).keys() == on_disk(view)
    assert read(view, "SELECT count(*) FROM lake.objects") == [(60,)]


def test_two_writers_of_one_folder_each_give_the_digests_of_their_own_files(view: Settings) -> None:
    """The second writer's file lies there, half of another commit, when the first one commits."""
    with lake.connect(view, read_only=False) as slow, folding(view) as commit:
        slow.execute("BEGIN")
        manifest.record(slow)
        slow.execute("INSERT INTO lake.objects (image_id) SELECT uuid() FROM range(100)")
        before = on_disk(view)
        commit(20)
        assert len(before) == 1
        assert manifest_of(view).keys() == on_disk(view) - before
        say(slow, "test", "", files=manifest.kept(slow, lake.live(view)))
        slow.execute("COMMIT")
    assert manifest_of(view).keys() == on_disk(view)


def test_files_of_a_commit_that_failed_are_not_in_the_next_one(view: Settings) -> None:
    with lake.connect(view, read_only=False) as writer:
        manifest.record(writer)
        for end in ("ROLLBACK", "COMMIT"):
            writer.execute("BEGIN")
            manifest.forget(writer)
            writer.execute("INSERT INTO lake.retries (image_id) SELECT uuid() FROM range(100)")
            if end == "COMMIT":
                say(writer, "test", "", files=manifest.kept(writer, lake.live(view)))
            writer.execute(end)
    assert len(manifest_of(view)) == 1
    assert manifest_of(view).keys() == on_disk(view)


def test_a_kill_between_files_and_commit_leaves_orphans_only_and_they_are_swept(view: Settings) -> None:
    arguments = [str(view.data_dir), view.catalog_url.get_secret_value()]
    ended = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert read(view, "SELECT count(*), count(DISTINCT image_id) FROM lake.objects") == [(60, 20)]
    with maintenance(view, lake.live(view)) as upkeep:
        listed = files(upkeep.catalog, upkeep.generation)
        assert [damage(upkeep.folder, file) for file in listed] == [None, None]
        known = manifest_of(view).keys()
        assert len(on_disk(view) - known) == 2
        (step,) = [step for step in upkeep.steps(view, thorough=True) if step.name == "sweep"]
        assert step.count == 2
    assert on_disk(view) == known
    with folding(view) as commit:
        commit(20)  # goes on where it was


def test_who_slept_while_its_files_were_swept_cannot_commit_them(view: Settings) -> None:
    with ExitStack() as stack:
        commit = stack.enter_context(folding(view))
        slow = stack.enter_context(lake.connect(view, read_only=False))
        slow.execute("BEGIN")
        manifest.record(slow)
        slow.execute("INSERT INTO lake.objects (image_id) SELECT uuid() FROM range(100)")
        kept = manifest.kept(slow, lake.live(view))
        with maintenance(view, lake.live(view)) as upkeep:
            assert [step.name for step in upkeep.sweep(datetime.now(UTC))] == ["sweep"]
        say(slow, "test", "", files=kept)
        with pytest.raises(duckdb.TransactionException, match="swept as orphans"):
            slow.execute("COMMIT")
        commit(20)
    assert read(view, "SELECT count(*) FROM lake.objects") == [(60,)]
    assert asked(view, "SELECT count(*) FROM circles.files WHERE swept_at IS NOT NULL") == [(1,)]
