"""A short run of `make crashes`: the view is the log folded at once, whoever died at whatever step."""

from __future__ import annotations

import random

from streams.settings import Settings
from tests.crashes.lives import fired
from tests.crashes.run import Run


def test_the_view_of_members_that_were_killed_is_the_log(settings: Settings) -> None:
    small = settings.model_copy(update={"fold_batch_size": 40, "fold_linger_s": 0})
    run = Run(small, random.Random(1), print)
    run.crashes(8)
    assert set(run.verdict().values()) == {0}
    assert fired(settings.data_dir / "fired").total() >= 8
