"""The processes that this one has for requests."""

from __future__ import annotations

import os
from pathlib import Path


def children(module: str) -> set[int]:
    """Those that run a module, by id."""
    found = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 a process may end meanwhile
        if name.isdecimal():
            try:
                parent = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1]
                line = Path("/proc", name, "cmdline").read_bytes()
                if int(parent) == os.getpid() and module.encode() in line:
                    found.add(int(name))
            except OSError:
                continue
    return found
