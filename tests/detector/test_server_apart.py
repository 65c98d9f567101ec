"""Models that end their process: what it costs, and whom."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from starlette.testclient import TestClient

from detector import models
from detector.models import FindAll, Model, dummy
from detector.server import create_app
from detector.serving.limits import Limits
from tests.detector import crashing
from tests.detector.calls import base64_png, instances, over_asgi, picture
from tests.detector.running import running

BLACK = base64_png(np.zeros((40, 40, 3), np.uint8))
DISC = base64_png(picture())
FRAGILE = "/v1/models/fragile:predict"


@pytest.fixture
def tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which the process writes before it ends."""
    file = tmp_path / "tries"
    monkeypatch.setenv(crashing.TRIES, str(file))
    return file


def serve(monkeypatch: pytest.MonkeyPatch, find_all: FindAll, **limits: Any) -> TestClient:
    table = (Model("fragile", "1", find_all, may_crash=True), Model("dummy", "1", dummy))
    monkeypatch.setattr(models, "MODELS", table)
    return TestClient(create_app(Limits(**limits)))


def test_an_image_that_kills_its_process_costs_its_own_request(
    monkeypatch: pytest.MonkeyPatch, tries: Path
) -> None:
    with serve(monkeypatch, crashing.killed_by_black) as client:
        assert client.post(FRAGILE, json=instances(DISC)).status_code == 200
        killed = client.post(FRAGILE, json=instances(BLACK))
        assert killed.status_code == 500
        assert killed.json() == {"error": "the model's process ended without an answer 2 times"}
        assert client.post(FRAGILE, json=instances(DISC)).status_code == 200
    first, second = tries.read_text().split()
    assert first != second


def test_a_process_that_dies_once_costs_a_retry(monkeypatch: pytest.MonkeyPatch, tries: Path) -> None:
    with serve(monkeypatch, crashing.leaves_once) as client:
        response = client.post(FRAGILE, json=instances(DISC))
    assert response.status_code == 200
    assert len(response.json()["predictions"]) == 1
    assert len(tries.read_text().split()) == 1


def test_a_process_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tries: Path) -> None:
    with serve(monkeypatch, crashing.hangs_at_black, crash_timeout_s=2) as client:
        assert client.post(FRAGILE, json=instances(BLACK)).status_code == 500
        assert client.post(FRAGILE, json=instances(DISC)).status_code == 200
    pids = [int(pid) for pid in tries.read_text().split()]
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.usefixtures("tries")
def test_requests_beside_a_crash_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    app = serve(monkeypatch, crashing.killed_by_black, workers=2, waiting=20).app

    async def together() -> list[int]:
        async with over_asgi(app) as client:  # type: ignore[arg-type]
            sent = [(FRAGILE, DISC), (FRAGILE, BLACK), (FRAGILE, DISC)]
            sent += [("/v1/models/dummy:predict", DISC)] * 8
            calls = [client.post(path, json=instances(image), timeout=60) for path, image in sent]
            return [response.status_code for response in await asyncio.gather(*calls)]

    assert asyncio.run(together()) == [200, 500, 200] + [200] * 8


def test_an_error_of_the_callers_comes_back_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(monkeypatch, crashing.killed_by_black) as client:
        assert client.post(FRAGILE, json=instances("YWJj")).status_code == 422
        assert client.post(FRAGILE, json=instances("YWJj", min_score=-1)).status_code == 400


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_the_process_ends_with_the_server(ending: signal.Signals) -> None:
    with running() as server:
        apart = next(model for model in models.MODELS if model.may_crash)
        path = f"{server.url}/v1/models/{apart.name}/versions/{apart.version}:predict"
        assert httpx.post(path, json=instances(DISC), timeout=30).status_code == 200
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children
        os.kill(server.process.pid, ending)
        server.process.wait(20)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
