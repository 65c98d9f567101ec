"""A version that differs by parameters alone, on a real model server: replayed, compared, promoted, live."""

from __future__ import annotations

import json
from io import BytesIO
from uuid import UUID

import httpx
from PIL import Image

from detector.scenes import render
from streams.replay_requests import request
from streams.settings import Settings
from streams.version import Version
from tests.detector.running import running
from tests.integration.conftest import Fresh
from tests.integration.flow import LIVE, query, stages, wait_until
from tests.integration.test_promotions import circles as command
from tests.integration.test_promotions import versions
from tests.integration.test_replay import is_in

Found = set[tuple[UUID, float, float, float, float]]
LARGE = "2+min_radius=24"


def sent(settings: Settings, seed: int) -> None:
    """A scene, taken in by the API and answered with its circles."""
    picture = BytesIO()
    Image.fromarray(render(seed, 320, 240).image).save(picture, "PNG")
    answer = httpx.post(
        f"{settings.api_url}/images/",
        files={"file": ("scene.png", picture.getvalue())},
        headers={"Prefer": "wait=60"},
        timeout=90,
    )
    assert answer.json()["detection"], answer.text


def found(settings: Settings, version: str) -> Found:
    rows = "SELECT image_id, x, y, radius, score FROM lake.objects WHERE model_version = "
    return set(query(settings, f"{rows}'{version}'"))


def overlay(settings: Settings, found: Found, model: str) -> bytes | int:
    """Of an image that has a circle which is not large."""
    image_id = min(row[0] for row in found if row[3] < 24)
    answer = httpx.get(f"{settings.api_url}/images/{image_id}/overlay", params={"model": model}, timeout=60)
    return answer.content if answer.status_code == 200 else answer.status_code


def test_a_parameter_makes_a_version_that_is_replayed_compared_promoted_and_live(fresh: Fresh) -> None:
    with running("--workers", "1") as model:
        settings = fresh(model_server_url=model.url, model_version="2")
        with stages(settings, *LIVE, "replayer"):
            for seed in range(4):
                sent(settings, seed)
            replay, _ = request(settings, *Version.read("circles:2+min_radius=2.4e1"), by="anna")
            assert replay.model_version == LARGE
            wait_until(lambda: is_in(settings, replay, "finished"))
            live = found(settings, "2")
            large = {row for row in live if row[3] >= 24}
            assert found(settings, LARGE) == large
            assert 0 < len(large) < len(live)
            assert versions(settings) == ["2"] * 4

            overlays = [
                overlay(settings, live, model) for model in ("current", "circles:2", f"circles:{LARGE}")
            ]
            assert overlays[0] == overlays[1] != overlays[2]
            assert overlay(settings, live, "circles:9") == 404

            # What differs by a least score alone is made of the scores that are stored, and of nothing else.
            compared = command(
                settings, "compare", "circles:2+min_radius=24,min_score=.9", "circles:2", "--json"
            )
            assert compared.returncode == 0, compared.stderr
            counts = json.loads(compared.stdout)["counts"]
            certain = {row for row in large if row[4] >= 0.9}
            assert (counts["a_circles"], counts["b_circles"]) == (len(certain), len(live))

            promoted = command(settings, "promote", f"circles:{LARGE}")
            assert promoted.returncode == 0, promoted.stderr
            wait_until(lambda: versions(settings) == [LARGE] * 4)
            sent(settings, 4)
            wait_until(lambda: versions(settings) == [LARGE] * 5)
            rows = query(settings, "SELECT model_version FROM lake.detections WHERE replay_id IS NULL")
            assert sorted(rows) == [("2",)] * 4 + [(LARGE,)]
            assert all(row[3] >= 24 for row in found(settings, LARGE))
            wrong = command(settings, "replay", "start", "--model", "circles:2+radius=3")
            assert (wrong.returncode, "there is no parameter 'radius'" in wrong.stderr) == (1, True)
            nobody = command(settings, "replay", "start", "--model", "circles:9+min_radius=3")
            assert (nobody.returncode, "the model server has no circles:9, or" in nobody.stderr) == (1, True)
