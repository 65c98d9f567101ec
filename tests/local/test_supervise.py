"""The supervisor, with real processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.local import supervise
from deploy.local.service import Service, ServiceFailed
from deploy.local.supervise import Supervisor

SERVE = "import pathlib, time; pathlib.Path(r'{ready}').touch(); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVE
CRASH_TWICE = """
import pathlib, sys, time
starts = pathlib.Path(r'{ready}.starts')
starts.open('a').write('x')
if starts.stat().st_size <= 2: sys.exit(3)
pathlib.Path(r'{ready}').touch(); time.sleep(60)
"""
JOURNAL = """
import pathlib, signal, sys, time
def note(what):
    with open(r'{folder}/journal', 'a') as journal: journal.write(what + ' {name}\\n')
def stop(*_):
    note('stop'); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note('start'); time.sleep(.2)
pathlib.Path(r'{ready}').touch(); time.sleep(60)
"""


def scripted(
    folder: Path, name: str, script: str, *, ready_timeout_s: float = 20, grace_s: float = 8
) -> Service:
    """A service that runs a Python script and is ready when the script has touched its file."""
    ready = folder / f"{name}.ready"

    async def prepare() -> list[str]:
        ready.unlink(missing_ok=True)
        return [sys.executable, "-c", script.format(ready=ready, folder=folder, name=name)]

    async def is_ready() -> bool:
        return ready.exists()

    return Service(name, prepare, is_ready, ready_timeout_s=ready_timeout_s, stop_grace_s=grace_s)


async def until(condition: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_crashing_service_is_started_again_with_growing_delays(tmp_path: Path) -> None:
    said: list[str] = []

    async def scenario() -> None:
        async with Supervisor(tmp_path, say=said.append) as supervisor:
            await supervisor.start(scripted(tmp_path, "flaky", CRASH_TWICE))

    asyncio.run(scenario())
    delays = [
        float(found[1]) for text in said if (found := re.search(r"exit code 3.*again in ([\d.]+) s", text))
    ]
    assert len(delays) == 2
    assert 0.1 <= delays[0] <= 0.2 <= delays[1] <= 0.4
    assert re.match(r"flaky +ready in [\d.]+ s .* log .*flaky\.log", said[2])


def test_a_killed_service_is_ready_again_under_a_new_pid(tmp_path: Path) -> None:
    said: list[str] = []
    published: list[dict[str, int]] = []

    async def scenario() -> None:
        async with Supervisor(tmp_path, say=said.append, changed=published.append) as supervisor:
            await supervisor.start(scripted(tmp_path, "one", SERVE))
            before = supervisor.pids()["one"]
            os.kill(before, signal.SIGKILL)
            await until(lambda: len(said) == 3)
            after = supervisor.pids()["one"]
            assert after != before
            assert {"one": before} in published
            assert published[-1] == {"one": after}

    asyncio.run(scenario())
    assert "killed by SIGKILL" in said[1]
    assert "ready in" in said[2]
    assert published[-1] == {}


def test_stages_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Supervisor(tmp_path, say=lambda _: None) as supervisor:
            await supervisor.start(scripted(tmp_path, "broker", JOURNAL))
            await supervisor.start(scripted(tmp_path, "worker", JOURNAL))

    asyncio.run(scenario())
    journal = (tmp_path / "journal").read_text().splitlines()
    assert journal == ["start broker", "start worker", "stop worker", "stop broker"]


def test_stopping_keeps_its_budget_although_every_service_ignores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "STOP_BUDGET_S", 2.0)
    monkeypatch.setattr(supervise, "STAGE_RESERVE_S", 0.5)
    said: list[str] = []

    async def scenario() -> tuple[list[int], float]:
        async with Supervisor(tmp_path, say=said.append) as supervisor:
            await supervisor.start(*(scripted(tmp_path, name, STUBBORN, grace_s=60) for name in ("a", "b")))
            for name in ("c", "d", "e"):
                await supervisor.start(scripted(tmp_path, name, STUBBORN, grace_s=60))
            pids = list(supervisor.pids().values())
            began = time.monotonic()
        return pids, time.monotonic() - began

    pids, took = asyncio.run(scenario())
    assert 1.8 < took < 6  # a budget for each of the four stages would be eight
    assert all(gone(pid) for pid in pids)
    assert sum("did not stop on SIGTERM: killed" in text for text in said) == 5


def test_a_second_interrupt_kills_what_hangs(tmp_path: Path) -> None:
    async def scenario() -> float:
        supervisor = Supervisor(tmp_path, say=lambda _: None)
        await supervisor.start(scripted(tmp_path, "first", STUBBORN))
        await supervisor.start(scripted(tmp_path, "second", STUBBORN))
        began = time.monotonic()
        stopping = asyncio.create_task(supervisor.stop())
        await asyncio.sleep(0.2)
        supervisor.kill()
        await stopping
        return time.monotonic() - began

    assert asyncio.run(scenario()) < 6  # less than the grace of either


def test_what_a_service_started_ends_with_it(tmp_path: Path) -> None:
    script = f"""
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])
pathlib.Path(r'{tmp_path}/grandchild').write_text(str(child.pid))
{SERVE}"""

    async def scenario() -> None:
        async with Supervisor(tmp_path, say=lambda _: None) as supervisor:
            await supervisor.start(scripted(tmp_path, "parent", script))

    asyncio.run(scenario())
    grandchild = int((tmp_path / "grandchild").read_text())
    asyncio.run(until(lambda: gone(grandchild)))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('no such bucket', flush=True); import time; time.sleep(60)", "not ready after 4 s"),
        (
            "import sys; sys.exit('no such bucket')",
            "ended 4 times before it was ready, last with exit code 1",
        ),
    ],
)
def test_a_service_that_never_gets_ready_shows_its_log(tmp_path: Path, script: str, reason: str) -> None:
    async def scenario() -> None:
        async with Supervisor(tmp_path, say=lambda _: None) as supervisor:
            await supervisor.start(scripted(tmp_path, "broken", script, ready_timeout_s=4))

    with pytest.raises(ServiceFailed) as failed:
        asyncio.run(scenario())
    assert reason in str(failed.value)
    assert str(failed.value).endswith("no such bucket")


def test_a_large_log_is_set_aside_at_start(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_bytes(b"x" * 10_000_001)

    async def scenario() -> None:
        async with Supervisor(tmp_path, say=lambda _: None) as supervisor:
            await supervisor.start(scripted(tmp_path, "one", SERVE))

    asyncio.run(scenario())
    assert log.stat().st_size < 1000
    assert (tmp_path / "one.log.1").stat().st_size == 10_000_001


KILLED = """
import asyncio, pathlib, sys
from deploy.local.supervise import Supervisor
from tests.local.test_supervise import SERVE, STUBBORN, scripted
folder = pathlib.Path(sys.argv[1])
async def main():
    async with Supervisor(folder) as supervisor:
        await supervisor.start(scripted(folder, 'kind', SERVE), scripted(folder, 'stubborn', STUBBORN))
        print(*supervisor.pids().values(), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next `circles up` ends them")
def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout
        line = next(text for text in supervisor.stdout if text[0].isdigit())
        pids = [int(pid) for pid in line.split()]
        assert not any(gone(pid) for pid in pids)
        supervisor.kill()
    asyncio.run(until(lambda: all(gone(pid) for pid in pids)))
