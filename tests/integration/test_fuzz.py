"""Broken uploads of every kind, some hundreds of them; `python -m tests.fuzz` sends any number."""

from __future__ import annotations

import asyncio

import psutil

from tests.fuzz import FUZZED, fuzz
from tests.integration.conftest import Fresh
from tests.integration.flow import stages


def test_broken_uploads_are_refused_and_nothing_breaks(fresh: Fresh) -> None:
    settings = fresh(**FUZZED)
    with stages(settings, "api") as supervisor:
        pid = supervisor.pids()["api"]
        found = asyncio.run(fuzz(settings, psutil.Process(pid), 600, seed=7))
        assert supervisor.pids()["api"] == pid
    assert found.answers[201] + found.answers[202] > 10
    assert (
        found.answers[400] > 100 and found.answers[422] > 10 and found.answers[413] + found.answers[408] > 0
    )
    assert found.files[-1] <= min(found.files) + 4
    assert found.answers.total() == 600
