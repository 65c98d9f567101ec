"""Kafka dies under running stages: the API lives on, says what it cannot know, and everything resumes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx
import psutil

from deploy.local.kafka import running_kafka
from streams import topics
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, stages, wait_until


def test_the_api_outlives_kafka_and_knows_the_lags_again(fresh: Fresh, tmp_path: Path) -> None:
    with running_kafka(tmp_path) as bootstrap:
        settings = fresh(mode="dummy").model_copy(update={"kafka_bootstrap_servers": bootstrap})
        topics.create(settings)
        with (
            stages(settings) as supervisor,
            httpx.Client(base_url=settings.api_url, timeout=60) as api,
        ):
            first = supervisor.pids()["api"]

            def lags() -> list[int | None]:
                return [stage["lag"] for stage in api.get("/status").json()["stages"]]

            def taken(seed: int) -> bool:
                return api.post("/images/", files={"file": ("a", picture(seed))}).status_code == 201

            assert taken(1)
            for seed in (2, 3):
                java = [p for p in psutil.Process().children() if f"{tmp_path}/" in " ".join(p.cmdline())]
                for process in java:
                    process.kill()
                wait_until(lambda: None in lags())
                wait_until(lambda: lags() == [0, 0])
                wait_until(partial(taken, seed))
            assert supervisor.pids()["api"] == first
