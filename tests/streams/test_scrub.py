"""Scrub finds what is not as it was written, and only that."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from streams import lake, manifest
from streams.maintenance import maintenance
from streams.scrub import Damage, Written, contradictions, damage, files, scrubbed
from streams.settings import Settings
from tests.lakes import asked, folder_of, folding

FLIPS = 60


def scrub(settings: Settings) -> list[Damage]:
    generation = lake.live(settings)
    with lake.catalog(settings) as catalog:
        listed = files(catalog, generation)
        return [bad for _, bad in scrubbed(catalog, generation, str(folder_of(settings)), listed) if bad]


@pytest.fixture
def folded(view: Settings) -> Settings:
    """A view of three commits, each with a file of detections and one of objects."""
    with folding(view) as commit:
        for _ in range(3):
            commit(20)
    return view


def test_a_sound_view_has_no_damage_before_and_after_maintenance(folded: Settings) -> None:
    assert scrub(folded) == []
    with folding(folded) as commit, maintenance(folded, lake.live(folded)) as upkeep:
        for _ in range(8):
            commit(20)
        names = {step.name for step in upkeep.steps(folded, thorough=True)}
        assert {"merge", "expire"} <= names
        assert scrub(folded) == []


def test_each_of_many_flipped_bits_is_found_and_its_file_named(folded: Settings) -> None:
    with lake.catalog(folded) as catalog:
        listed = files(catalog, lake.live(folded))
    chance = random.Random(1)
    for _ in range(FLIPS):
        file = chance.choice(listed)
        path = folder_of(folded) / file.path
        sound = path.read_bytes()
        at, bit = chance.randrange(len(sound)), 1 << chance.randrange(8)
        path.write_bytes(sound[:at] + bytes([sound[at] ^ bit]) + sound[at + 1 :])
        found = damage(str(folder_of(folded)), file)
        assert found is not None
        assert found.file.path == file.path
        assert "SHA-256" in found.reason
        path.write_bytes(sound)
        assert damage(str(folder_of(folded)), file) is None


def test_damage_of_every_kind_is_named_with_its_rows(folded: Settings) -> None:
    folder = folder_of(folded)
    missing, shorter, unknown = sorted(folder.glob("main/objects/*"))
    flipped = sorted(folder.glob("main/detections/*"))[1]
    missing.unlink()
    shorter.write_bytes(shorter.read_bytes()[:-1])
    flipped.write_bytes(flipped.read_bytes()[:-1] + b"X")
    with lake.catalog(folded) as catalog:
        catalog.execute("DELETE FROM circles.files WHERE path LIKE %s", [f"%{unknown.name}"])
    found = {Path(each.file.path).name: each for each in scrub(folded)}
    reasons = {
        missing: "it is missing",
        shorter: f"it has {shorter.stat().st_size:,} bytes, {shorter.stat().st_size + 1:,} were written",
        unknown: "it is not in the manifest",
        flipped: "its SHA-256 is ",
    }
    assert found.keys() == {path.name for path in reasons}
    for path, reason in reasons.items():
        assert found[path.name].reason.startswith(reason)
    sql = "SELECT min(min_value) FROM {g}.ducklake_file_column_stats WHERE table_id = 3 AND column_id = 1"
    ((first,),) = asked(folded, sql)
    assert found[missing.name].file.rows == 60
    assert found[missing.name].file.holds().startswith(f"60 rows of objects, {first} to ")
    assert " UTC" in found[missing.name].file.holds()


def test_what_is_merged_and_deleted_while_scrub_reads_is_no_damage(folded: Settings) -> None:
    generation, folder = lake.live(folded), str(folder_of(folded))
    with folding(folded) as commit, maintenance(folded, generation) as upkeep:
        for _ in range(5):
            commit(20)
        listed = files(upkeep.catalog, generation)
        assert len(list(upkeep.merge())) == 2
        for _ in range(2):
            list(upkeep.steps(folded, thorough=True))
        assert not any((folder_of(folded) / file.path).exists() for file in listed)
        found = scrubbed(upkeep.catalog, generation, folder, listed)
        assert [bad for _, bad in found] == [None] * len(listed)


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "large.parquet").write_bytes(bytes(64_000_000))
    size_bytes, sha256 = manifest.digest(str(tmp_path / "large.parquet"))
    tracemalloc.start()
    written = Written("large.parquet", "objects", 1, size_bytes, sha256, None, None)
    assert damage(str(tmp_path), written) is None
    assert tracemalloc.get_traced_memory()[1] < 4 * manifest.CHUNK_BYTES
    tracemalloc.stop()


def test_a_file_that_cannot_be_read_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()
    found = damage(str(tmp_path), Written("a.parquet", "objects", 1, 0, "", None, None))
    assert found is not None
    assert found.reason.startswith("it cannot be read: ")


def test_offsets_that_this_log_cannot_have_are_named() -> None:
    log = {("images.uploaded", 0): (10, 20), ("images.uploaded", 1): (0, 0)}
    stored = {("images.uploaded", 0): 10, ("images.uploaded", 1): 0}
    assert contradictions(stored, log) == []
    assert contradictions({("images.uploaded", 0): 20}, log) == []
    lost, ahead, gone = contradictions(
        {("images.uploaded", 0): 4, ("images.uploaded", 1): 1, ("images.uploaded", 2): 7}, log
    )
    assert lost == "images.uploaded[0] begins at 10, but the view goes on at 4: 6 are lost"
    assert ahead == "images.uploaded[1] ends at 0, but the view has folded it up to 1"
    assert gone == "images.uploaded[2] is not on the log, but the view has folded it up to 7"
