"""The stack without the project's own processes: real Kafka and PostgreSQL in one data folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from dotenv import dotenv_values

from deploy.local.ports import free_ports
from deploy.local.services import as_environment, with_addresses
from streams.settings import Settings
from tests.local.test_supervise import gone

UP = """
import asyncio
from deploy.local import stack
from deploy.local.folder import AlreadyRunning
from streams.settings import Settings
async def ready(settings):
    print('READY', settings.api_url, flush=True)
stack.pipeline = lambda settings: []
try:
    asyncio.run(stack.up(Settings(), on_ready=ready))
except AlreadyRunning as error:
    raise SystemExit(str(error))
"""
ENVIRONMENT = {"MODE": "dummy", "PYTHONUNBUFFERED": "1", "API_PORT": "0"}


@contextmanager
def up(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`circles up` in a process of its own, ready."""
    env = os.environ | ENVIRONMENT | {"CIRCLES_DATA_DIR": str(folder)}
    with subprocess.Popen([sys.executable, "-c", UP], env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert any(line.startswith("READY") for line in process.stdout), "ended before it was ready"
            yield process
        finally:
            process.kill()


def test_a_stack_comes_back_where_it_was_after_kill_9_and_cleans_up_after_an_interrupt(
    tmp_path: Path,
) -> None:
    with up(tmp_path) as first:
        addresses = dotenv_values(tmp_path / "stack.env")
        pids = json.loads((tmp_path / "processes.json").read_text())
        assert pids.keys() == {"kafka", "postgres"}
        assert stat.S_IMODE((tmp_path / "processes.json").stat().st_mode) == 0o600

        second = subprocess.run(
            [sys.executable, "-c", UP],
            env=os.environ | ENVIRONMENT | {"CIRCLES_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert f"already running (pid {first.pid}), API at {addresses['API_URL']}" in second.stderr
        first.kill()

    with up(tmp_path) as again:
        assert all(gone(pid) for pid in pids.values())
        assert dotenv_values(tmp_path / "stack.env") == addresses
        admin = AdminClient({"bootstrap.servers": str(addresses["KAFKA_BOOTSTRAP_SERVERS"])})
        assert "images.uploaded" in admin.list_topics(timeout=10).topics
        psycopg.connect(str(addresses["CATALOG_URL"])).close()
        pids = json.loads((tmp_path / "processes.json").read_text())

        again.send_signal(signal.SIGINT)
        assert again.wait(60) == 0
    assert all(gone(pid) for pid in pids.values())
    assert not (tmp_path / "stack.env").exists()
    assert not (tmp_path / "processes.json").exists()


def test_given_addresses_are_used_instead_of_started(tmp_path: Path) -> None:
    said: list[str] = []
    given = Settings(
        data_dir=tmp_path,
        kafka_bootstrap_servers="kafka.example:9092",
        catalog_url="postgresql://me:secret@db.example/lake",
        model_server_url="http://model.example",
    )
    settings, services = with_addresses(given, said.append)
    assert services == []
    assert settings.kafka_bootstrap_servers == "kafka.example:9092"
    assert [text.split(maxsplit=1)[1] for text in said[:3]] == [
        "using kafka.example:9092",
        "using db.example",
        "using http://model.example",
    ]


def test_a_taken_api_port_is_said_and_passed_over(tmp_path: Path) -> None:
    [port] = free_ports(1)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", port)):
        settings, _ = with_addresses(Settings(data_dir=tmp_path, api_port=port), said.append)
    assert settings.api_port > port
    assert settings.api_url == f"http://127.0.0.1:{settings.api_port}"
    assert f"port {port} is taken, using {settings.api_port}" in said[-1]


def test_children_read_the_settings_they_were_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = with_addresses(Settings(data_dir=tmp_path, fold_batch_size=7), lambda _: None)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
