"""A virtual environment for programs that want other versions than we do, made from a lock of their own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

PLACE = Path(__file__).parents[2] / ".venv"


def interpreter(name: str, lock: Path) -> Path:
    """The environment's Python, after installing what `lock` names where that was not done before.

    There is one of each name; that of an older lock is removed. Raises subprocess.CalledProcessError.
    """
    folder = PLACE / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        for older in PLACE.glob(f"{name}-*"):
            shutil.rmtree(older)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
        # Not compiled: most of it is never imported.
        how = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--only-binary", ":all:"]
        subprocess.run([*pip, "install", *how, "--requirement", lock], check=True)
        complete.touch()
    return python
