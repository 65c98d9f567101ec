"""A server that keeps its buffers gives back what no image needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HOLES = """
import time
import numpy as np, psutil
from detector.serving import memory

def mb(): return psutil.Process().memory_info().rss / 1e6

memory.GIVE_BACK_S = 0.05
memory.keep_buffers()
before = mb()
images = [np.ones(200_000, np.uint8) for _ in range(1000)]
held = images[::50]
full = mb()
del images
end = time.monotonic() + 20
while time.monotonic() < end and mb() > before + 20: time.sleep(0.05)
print(before, full, mb())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_holes_between_what_is_held_go_back() -> None:
    told = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True).stdout
    before, full, after = map(float, told.split())
    assert full > before + 150
    assert after < before + 20
