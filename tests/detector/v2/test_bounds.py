"""No picture makes compiled code, which checks no bounds, write or read outside its arrays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector import v2


def test_hostile_pictures_stay_within_bounds(pytestconfig: pytest.Config) -> None:
    """The same code with bounds checks. Compiled once for each state of the sources: half a minute."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(v2.__file__).parent.glob("*.py")))
    assert pytestconfig.cache is not None
    place = pytestconfig.cache.mkdir(f"bounds-{hashlib.sha256(sources).hexdigest()[:12]}")
    checked = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(place)}
    command = [sys.executable, "-m", "tests.detector.v2.hostile"]
    done = subprocess.run(
        command, cwd=pytestconfig.rootpath, env=checked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[1] == "pictures"
