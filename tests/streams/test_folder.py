"""Files that come in one step: whole, replaced whole, and on the disk when the call returns."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streams.folder import Folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the system, in order."""
    noted: list[str] = []

    def noting(name: str, told: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*args: object) -> object:
            noted.append(told(*args))
            return real(*args)

        monkeypatch.setattr(os, name, call)

    noting("open", lambda path, flags, *_: f"open {'to write' if flags & os.O_WRONLY else path}")
    noting("fsync", lambda _: "fsync")
    noting("replace", lambda *_: "replace")
    return noted


def test_a_file_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, calls: list[str]
) -> None:
    Folder(tmp_path).write("a", b"whole")
    assert calls == ["open to write", "replace", f"open {tmp_path}", "fsync"]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]


def test_bytes_are_on_the_disk_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = os.open, []

    def noted(path: str, flags: int, mode: int = 0o777) -> int:
        opened.append(flags)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", noted)
    Folder(tmp_path).write("a", b"whole")
    assert opened[0] & os.O_DSYNC


def test_who_waits_while_another_syncs_is_synced_by_one_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, began, go_on, syncs = os.fsync, threading.Event(), threading.Event(), []

    def slow(folder: int) -> None:
        syncs.append(sorted(path.name for path in tmp_path.iterdir()))
        began.set()
        assert go_on.wait(10)
        real(folder)

    monkeypatch.setattr(os, "fsync", slow)
    folder = Folder(tmp_path)
    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(folder.write, "0", b"")
        assert began.wait(10)
        others = [threads.submit(folder.write, f"{n}", b"") for n in range(1, 5)]
        deadline = time.monotonic() + 10
        while {path.name for path in tmp_path.iterdir()} != set("01234"):
            assert time.monotonic() < deadline
        assert not first.done() and not any(other.done() for other in others)
        go_on.set()
        for other in others:
            other.result(10)
    assert syncs[0] == ["0"]
    assert syncs[-1] == ["0", "1", "2", "3", "4"] and len(syncs) <= 3


def test_a_disk_that_takes_a_part_gets_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:3]))
    Folder(tmp_path).write("a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_what_fails_leaves_nothing_and_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.write("a", b"before")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        folder.write("a", b"after")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "objects" / "here")
    folder.write("a", b"1")
    shutil.rmtree(tmp_path / "objects")
    folder.write("a", b"2")
    assert (tmp_path / "objects" / "here" / "a").read_bytes() == b"2"
