"""What Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from detector.server import create_app
from tests.detector.calls import base64_png, instances, picture, raw

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(create_app()) as client:
        yield client


def samples(client: TestClient) -> Samples:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def of(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_counts_requests_images_and_circles(client: TestClient) -> None:
    body, headers = raw(np.stack([picture()] * 3))
    assert client.post("/v2/models/dummy/infer", content=body, headers=headers).status_code == 200
    for encoded in (base64_png(picture()), "YWJj"):
        client.post("/v1/models/dummy:predict", json=instances(encoded))
    found = samples(client)
    dummy = {"model": "dummy", "version": "1"}
    requests = "detector_requests_total"
    assert of(found, requests, protocol="v2", status="200", **dummy) == 1
    assert of(found, requests, protocol="v1", status="200", **dummy) == 1
    assert of(found, requests, protocol="v1", status="422", **dummy) == 1
    assert of(found, "detector_images_total", **dummy) == 4
    assert of(found, "detector_circles_total", **dummy) == 4
    assert of(found, "detector_inference_seconds_count", **dummy) == 2
    assert of(found, "detector_queue_seconds_count") == 3
    assert of(found, "detector_waiting") == of(found, "detector_in_flight") == 0
    assert of(found, "process_resident_memory_bytes") > 0


def test_no_caller_makes_up_labels(client: TestClient) -> None:
    for name in ("squares", "triangles"):
        client.post(f"/v1/models/{name}:predict", json={})
        client.post(f"/v2/models/dummy/versions/{name}/infer", json={})
    found = samples(client)
    requests = {labels for name, labels in found if name == "detector_requests_total"}
    unknown = {"model": "", "version": "", "status": "404"}
    assert requests == {tuple(sorted({"protocol": each, **unknown}.items())) for each in ("v1", "v2")}


def test_each_app_counts_for_itself(client: TestClient) -> None:
    client.post("/v1/models/dummy:predict", json=instances(base64_png(picture())))
    with TestClient(create_app()) as other:
        assert not [name for name, _ in samples(other) if name == "detector_requests_total"]
