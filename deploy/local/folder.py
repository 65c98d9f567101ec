"""The data folder of a local stack: who holds it, what runs for it, and where it answers."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from dotenv import dotenv_values

from streams.settings import STACK_ENV

LEFTOVER_GRACE_S = 3.0


class AlreadyRunning(Exception):
    """Another `circles up` holds the data folder; the message says which, and where its API is."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the data folder as the only `circles up`, and take away at the end what told others of it.

    Raises AlreadyRunning. The kernel gives the lock back however the holder ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            api = dotenv_values(folder / STACK_ENV).get("API_URL") or "not ready yet"
            raise AlreadyRunning(f"already running (pid {file.read().strip()}), API at {api}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        # A supervisor that was killed left both behind.
        (folder / STACK_ENV).unlink(missing_ok=True)
        _end_leftovers(folder / "processes.json")
        try:
            yield
        finally:
            (folder / STACK_ENV).unlink(missing_ok=True)
            (folder / "processes.json").unlink(missing_ok=True)


def write_addresses(folder: Path, addresses: Mapping[str, str]) -> None:
    """Tell other commands where the stack answers: the file that Settings.load reads."""
    write_private(folder / STACK_ENV, "".join(f"{name}='{value}'\n" for name, value in addresses.items()))


def write_processes(folder: Path, pids: Mapping[str, int]) -> None:
    """Tell which process is which: name -> pid."""
    write_private(folder / "processes.json", json.dumps(pids))


def write_private(file: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # 0600
    with os.fdopen(descriptor, "w") as new:
        new.write(text)
    Path(name).replace(file)


def _end_leftovers(processes: Path) -> None:
    """End what a killed supervisor left: on Linux the kernel is at it, elsewhere nobody else does it.

    A process younger than the file that names it has got a dead one's pid and is not ours.
    """
    if not processes.exists():
        return
    latest = processes.stat().st_mtime + 1  # start times are kept to the second
    pids = json.loads(processes.read_text()).values()
    ours = [p for p in psutil.process_iter() if p.pid in pids and p.create_time() <= latest]
    _, alive = psutil.wait_procs(ours, timeout=LEFTOVER_GRACE_S)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=LEFTOVER_GRACE_S)
