"""A short run of `python -m tests.histories`: no read that misses its write, whichever process answers."""

from __future__ import annotations

import asyncio
from random import Random

from tests.histories.judge import violations
from tests.histories.run import DISTURBED, happened, told
from tests.integration.conftest import Fresh
from tests.integration.flow import stages


def test_reads_of_processes_that_are_killed_are_linear(fresh: Fresh) -> None:
    settings = fresh(**DISTURBED)
    with stages(settings) as supervisor:
        pid = supervisor.pids()["api"]
        history = asyncio.run(happened(settings, pid, 20, Random(1)))
        assert supervisor.pids()["api"] == pid
    found = violations(history)
    assert not found, told(history, found)
    # How many there are in that time is the machine's business; none would say nothing.
    assert history.killed
    assert any(upload.image_id for upload in history.uploads)
    assert {read.kind for read in history.reads if read.answer == 200} == {"image", "list", "objects"}
    assert any(walk.pages for walk in history.walks)
