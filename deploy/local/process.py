"""Processes that never outlive us: how each child is started, and how a group of them is ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

LAUNCH = Path(__file__).with_name("launch.py")


class CommandFailed(Exception):
    """A preparing command (format, initdb, fetch) ended with an error; the message carries its output."""


async def spawn(
    command: Sequence[str],
    *,
    output: IO[bytes] | int,
    env: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Process:
    """Start `command` in a session of its own, so that a terminal's Ctrl-C reaches only us.

    On Linux the kernel sends it `death_signal` when the thread that called this ends. Elsewhere
    nothing does; there the next `circles up` ends what is left (see folder.py).
    """
    if sys.platform == "linux":
        # -I -S: nothing of the project or the environment is imported on the way, 15 ms in all.
        launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(death_signal))]
        command = [*launch, *command]
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=STDOUT,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )


def kill_group(process: Process) -> None:
    """SIGKILL the process and whatever it left in its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def run(*command: str) -> None:
    """Run a preparing command to its end; ended with us when we are cancelled.

    Raises CommandFailed with the command's output.
    """
    process = await spawn(command, output=PIPE)
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        kill_group(process)
        await process.wait()
        raise
    if process.returncode:
        raise CommandFailed(f"{Path(command[0]).name}: {ending(process)}\n{output.decode(errors='replace')}")


def ending(process: Process) -> str:
    """How an ended process ended, in words."""
    code = process.returncode
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
