"""What a data folder keeps between starts, and what a killed supervisor leaves in it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy.local import folder
from deploy.local.folder import AlreadyRunning, held, write_addresses, write_processes
from deploy.local.ports import is_free, next_free, remembered_ports

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    with held(tmp_path):
        write_addresses(tmp_path, {"API_URL": "http://127.0.0.1:8123"})
        with (
            pytest.raises(
                AlreadyRunning, match=rf"already running \(pid {os.getpid()}\), API at http://127.0.0.1:8123"
            ),
            held(tmp_path),
        ):
            pass
        assert stat.S_IMODE((tmp_path / "stack.env").stat().st_mode) == 0o600
    assert not (tmp_path / "stack.env").exists()
    with held(tmp_path):
        pass


def test_what_a_killed_holder_left_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "LEFTOVER_GRACE_S", 0.2)
    with subprocess.Popen(SLEEP) as left:
        write_processes(tmp_path, {"kafka": left.pid})
        with held(tmp_path):
            assert not psutil.pid_exists(left.pid)


def test_a_stranger_with_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP) as stranger:
        write_processes(tmp_path, {"kafka": stranger.pid})
        hour_ago = time.time() - 3600
        os.utime(tmp_path / "processes.json", (hour_ago, hour_ago))
        with held(tmp_path):
            assert stranger.poll() is None
        stranger.kill()


def test_ports_stay_unless_they_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = remembered_ports(file, "kafka", "postgres")
    assert remembered_ports(file, "kafka", "postgres") == first
    with socket.create_server(("127.0.0.1", first["kafka"])):
        assert next_free(first["kafka"]) != first["kafka"]
        second = remembered_ports(file, "kafka", "postgres")
    assert second["postgres"] == first["postgres"]
    assert second["kafka"] != first["kafka"]
    assert is_free(second["kafka"])
