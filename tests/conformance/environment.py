"""A virtual environment of the clients' own, made once for each state of their lock."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"
PLACE = HERE.parent.parent / ".venv"


def interpreter() -> Path:
    """The environment's Python, after installing what the lock names where that was not done before."""
    folder = PLACE / f"conformance-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        for older in PLACE.glob("conformance-*"):
            shutil.rmtree(older)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
        # Not compiled: most of it is never imported.
        how = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--only-binary", ":all:"]
        subprocess.run([*pip, "install", *how, "--requirement", LOCK], check=True)
        complete.touch()
    return python
