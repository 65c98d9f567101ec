"""A short run of `make replays`: a replay finds what one finds that nobody disturbs, whoever dies."""

from __future__ import annotations

import random

from streams.settings import Settings
from tests.crashes.replay import Run
from tests.integration.model_server import model_server


def test_a_replay_of_processes_that_were_killed_is_that_of_processes_that_were_not(
    settings: Settings,
) -> None:
    with model_server() as model:
        run = Run(settings, model, random.Random(1), print)
        with run.alive():
            run.crashes(4, 150)
            found = run.verdict()
    assert set(found.values()) == {0}
    assert run.killed.total() >= 4
    assert run.watched.reads
