"""Promotions on a real log: what is served and what detects change with one event, and back."""

from __future__ import annotations

import httpx
import pytest

from streams import lake, promotions
from streams.current import Version
from streams.records import CirclesDetected
from streams.replay_requests import request
from streams.settings import Settings
from streams.topics import DETECTED
from tests.integration.conftest import Fresh
from tests.integration.flow import LIVE, read_all, stages, wait_until
from tests.integration.model_server import model_server
from tests.integration.test_replay import is_in, logged

ONE, TWO = Version("circles", "1"), Version("circles", "2")


def versions(settings: Settings) -> list[str]:
    """Of the detections that the API serves, by image from the oldest."""
    images = httpx.get(f"{settings.api_url}/images", params={"limit": 100}, timeout=20).json()["images"]
    return [image["detection"] and image["detection"]["model_version"] for image in reversed(images)]


def test_a_promotion_changes_what_is_served_and_what_detects_and_back(fresh: Fresh) -> None:
    with model_server() as model:
        model.release.set()
        settings = fresh(model_server_url=model.url, model_version="1")
        with stages(settings, *LIVE, "replayer"):
            early = logged(settings, 6)
            wait_until(lambda: versions(settings) == ["1"] * 6)
            with pytest.raises(ValueError, match="circles:2 has detected no image yet"):
                promotions.promote(settings, TWO, by="anna")
            with pytest.raises(ValueError, match="circles:1 is the current one already"):
                promotions.promote(settings, ONE, by="anna")
            replay, _ = request(settings, *TWO, by="anna", images=tuple(e.image_id for e in early[:5]))
            wait_until(lambda: is_in(settings, replay, "finished"))
            assert versions(settings) == ["1"] * 6

            before, covered = promotions.promote(settings, TWO, by="anna")
            assert (before, covered) == (ONE, (6, 5))
            wait_until(lambda: versions(settings) == ["2"] * 5 + ["1"])
            later = logged(settings, 4)
            wait_until(lambda: versions(settings) == ["2"] * 5 + ["1"] + ["2"] * 4)

            promotions.promote(settings, ONE, by="anna", back=True)
            wait_until(lambda: versions(settings) == ["1"] * 6 + ["2"] * 4)
            last = logged(settings, 2)
            wait_until(lambda: versions(settings) == ["1"] * 6 + ["2"] * 4 + ["1"] * 2)
            with lake.connect(settings, read_only=True) as view:
                made = promotions.history(view)
        assert [(each.version, each.previous, each.back) for each in made] == [
            (ONE, TWO, True),
            (TWO, ONE, False),
        ]
        records = [r for r in read_all(settings, DETECTED) if isinstance(r, CirclesDetected)]
        live = sorted((r.image_id, r.model_version) for r in records if r.replay_id is None)
        assert live == sorted(
            [*((e.image_id, "1") for e in early + last), *((e.image_id, "2") for e in later)]
        )
