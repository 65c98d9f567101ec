"""A folder whose files come in one step, each once it would survive a power cut."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path


class Folder:
    """For several threads at once.

    Each call of the system gives up Python's lock and waits to have it again, in a busy process for longer
    than the call takes. So there are few of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._syncing = threading.Lock()
        self._numbers = itertools.count(1)
        self._synced = 0

    def write(self, name: str, data: bytes) -> None:
        """Put a file there, or in place of one; what fails leaves nothing. Raises OSError."""
        beside = f"{self.path}/{name}#{os.getpid()}.{threading.get_ident()}"  # as obstore names them
        try:
            self._write(beside, data)
            Path(beside).replace(f"{self.path}/{name}")
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
        self._sync()

    def _write(self, path: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DSYNC
        try:
            file = os.open(path, flags, 0o666)
        except FileNotFoundError:
            self.path.mkdir(parents=True, exist_ok=True)
            file = os.open(path, flags, 0o666)
        try:
            written = os.write(file, data)
            while written < len(data):  # as where the disk is full, which the next one says
                written += os.write(file, memoryview(data)[written:])
        finally:
            os.close(file)

    def _sync(self) -> None:
        """Return once the names of all files that came before are on the disk. One thread syncs for all."""
        mine = next(self._numbers)
        with self._syncing:
            if self._synced < mine:
                newest = next(self._numbers)
                folder = os.open(self.path, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
                self._synced = newest
