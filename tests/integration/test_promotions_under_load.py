"""A short run of `python -m tests.histories.promotions`: an answer of one moment, an image detected once."""

from __future__ import annotations

import asyncio
from random import Random

from tests.histories.promoted import Shown
from tests.histories.promotions import (
    BEFORE,
    found,
    happened,
    replayed_images,
    stack,
    told,
    versions_live,
)
from tests.integration.conftest import Fresh


def test_what_is_served_and_what_detects_change_at_once_while_images_come(fresh: Fresh) -> None:
    with stack(fresh()) as settings:
        seen = asyncio.run(happened(settings, 2, Random(1)))
        wrong = found(settings, seen)
        assert not wrong, told(settings, seen, wrong)
        # How much there is in that time is the machine's business; none would say nothing.
        assert versions_live(settings).keys() == {"1", "2"}
        assert replayed_images(settings) > BEFORE // 2, "a replay follows meanwhile"
    said = [shown for answer in seen.answers for shown in answer.shown]
    assert {shown.version for shown in said} >= {"1", "2"}
    assert any(len({shown.version for shown in answer.shown} - {""}) > 1 for answer in seen.answers)
    assert any(isinstance(shown, Shown) and shown.circles for shown in said)
