"""Lives of a materializer, each with the step of a commit at which it is to die; and of the other stages."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from deploy.local.services import as_environment
from streams import commit, materialize, partitions
from streams.ledger import Ledger
from streams.process import configure_logging, told_to_stop
from streams.settings import Settings

WRITTEN, READY, COMMITTING, COMMITTED, TELLING, ANY = STEPS = (
    "after the files",
    "before the commit",
    "during the commit",
    "after the commit",
    "before the group's offset",
    "at any moment",
)
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["streams.materialize", "streams.replay", "streams.detect"])


@dataclass(frozen=True)
class Fault:
    """step: where to die, at which of the times that it comes there; fired: the file to say so in."""

    step: str
    time: int
    fired: Path

    def fire(self) -> None:
        file = os.open(self.fired, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{self.step}\n".encode())  # one write is whole, whoever else writes
        os.kill(os.getpid(), signal.SIGKILL)

    def arm(self) -> None:
        """Let this process die at the step."""
        if self.step == WRITTEN:
            self._at(Ledger, "advance", after=False)
        elif self.step == READY:
            self._at(Ledger, "advance")
        elif self.step == COMMITTING:
            delay_s = random.uniform(0, 0.03)
            self._at(Ledger, "advance", lambda: threading.Timer(delay_s, self.fire).start())
        elif self.step == COMMITTED:
            self._at(commit.View, "commit")
        elif self.step == TELLING:
            self._at(partitions, "tell", after=False)

    def _at(self, owner: Any, name: str, do: Callable[[], object] | None = None, after: bool = True) -> None:
        whole, came = getattr(owner, name), 0

        def passing(*arguments: Any, **more: Any) -> Any:
            nonlocal came
            result = whole(*arguments, **more) if after else None
            came += 1
            if came == self.time:
                (do or self.fire)()
            return result if after else whole(*arguments, **more)

        setattr(owner, name, passing)


def fired(file: Path) -> Counter[str]:
    """How often each step was the last."""
    return Counter(file.read_text().splitlines() if file.exists() else ())


def begin(settings: Settings, fault: Fault | None) -> ForkServerProcess:
    """A materializer in a process of its own, which logs to the data folder."""
    process = processes.Process(target=_live, args=(settings, fault), daemon=True)
    process.start()
    return process


def begin_stage(module: str, settings: Settings, name: str) -> ForkServerProcess:
    """A stage as its own command starts it, in a process that logs to `<name>.log` in the data folder."""
    process = processes.Process(target=_live_as, args=(module, settings, name), daemon=True)
    process.start()
    return process


def kill(process: ForkServerProcess, fault: Fault) -> None:
    """At any moment, by the hand of another."""
    if process.is_alive():
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        with fault.fired.open("a") as file:
            file.write(f"{ANY}\n")
    process.join()


def _live(settings: Settings, fault: Fault | None) -> None:
    with (settings.data_dir / "materializer.log").open("ab") as output:
        os.dup2(output.fileno(), sys.stderr.fileno())
    configure_logging(settings)
    random.seed(time.monotonic_ns())
    stop = told_to_stop()
    if fault:
        fault.arm()
    try:
        materialize.run(settings, stop)
    except Exception:
        logging.exception("ended")
        raise


def _live_as(module: str, settings: Settings, name: str) -> None:
    with (settings.data_dir / f"{name}.log").open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    os.environ |= as_environment(settings)
    sys.argv = [module]
    importlib.import_module(module).main()
