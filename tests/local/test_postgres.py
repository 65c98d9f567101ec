"""A real PostgreSQL under the supervisor."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from deploy.local import postgres
from deploy.local.ports import free_ports
from deploy.local.supervise import running


def test_postgres_keeps_a_row_and_its_port_through_kill_9(tmp_path: Path) -> None:
    [port] = free_ports(1)
    url = postgres.url(tmp_path, port=port)
    with running(tmp_path, postgres.service(tmp_path, port=port)) as supervisor:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        killed = supervisor.pids()["postgres"]
        os.kill(killed, signal.SIGKILL)

        deadline = time.monotonic() + 60
        while supervisor.pids().get("postgres") in (None, killed) or not connects(url):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_postgres_asks_for_the_password_and_syncs(tmp_path: Path) -> None:
    with postgres.running_postgres(tmp_path) as url:
        with psycopg.connect(url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url, password="guessed")  # noqa: S106
    assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600


def test_postgres_starts_although_its_old_pid_is_in_use(tmp_path: Path) -> None:
    with postgres.running_postgres(tmp_path):
        lock = (tmp_path / "data" / "postmaster.pid").read_text().splitlines()
    user = postgres.AS_NOBODY if os.geteuid() == 0 else []
    with subprocess.Popen([*user, "sleep", "60"]) as other:
        (tmp_path / "data" / "postmaster.pid").write_text("\n".join([str(other.pid), *lock[1:-1], ""]))
        with postgres.running_postgres(tmp_path) as url:
            assert connects(url)
        other.kill()


def connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
