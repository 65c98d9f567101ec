"""docker-compose.yml as users start it: images pass, nothing has rights, what is killed comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image
from skimage.data import coins

from detector.scenes import render
from streams.settings import Settings
from tests.containers.stack import OURS, Stack
from tests.integration.flow import picture, wait_until

SLOW_S = 120.0


@pytest.fixture(scope="module")
def stack(engine: None) -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.up("--build")
        yield stack
    finally:
        stack.remove()


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.api_url(), timeout=60, trust_env=False) as client:
        yield client


def png(pixels: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def upload(api: httpx.Client, data: bytes) -> httpx.Response:
    return api.post("/images/", files={"file": ("image.png", data)})


def detected(api: httpx.Client, path: str) -> dict[str, Any]:
    """The image once its circles are there, however slow the machine is."""
    image: dict[str, Any] = {}

    def is_detected() -> bool:
        image.update(api.get(path).json())
        return bool(image["status"] == "detected")

    wait_until(is_detected, SLOW_S)
    return image


def test_circles_are_found_in_a_photograph_and_in_camera_frames(api: httpx.Client) -> None:
    frames = [render(seed) for seed in (1, 2)]
    sent = [png(coins()), *(png(frame.image) for frame in frames)]
    images = [detected(api, upload(api, data).headers["location"]) for data in sent]
    counts = [image["detection"]["count"] for image in images]
    assert 20 <= counts[0] <= 28, "the photograph shows 24 coins"
    for count, frame in zip(counts[1:], frames, strict=True):
        assert 1 <= count <= 2 * len(frame.circles)
    assert {image["detection"]["model_name"] for image in images} == {"circles"}
    assert api.get(f"/images/{images[0]['image_id']}/content").content == sent[0]


@pytest.mark.parametrize("service", ["kafka", "postgres", *OURS])
def test_a_service_has_no_rights_beyond_its_work(stack: Stack, service: str) -> None:
    assert stack.compose("exec", service, "id", "-u") != "0"
    status = dict(
        line.split(":\t", 1)
        for line in stack.compose("exec", service, "cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    assert {status[name] for name in ("CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert stack.inspected(service)["HostConfig"]["ReadonlyRootfs"] is (service != "kafka")


def test_only_the_api_is_reached_from_outside_and_only_from_this_machine(stack: Stack) -> None:
    published = {
        service: [
            (port, host["HostIp"])
            for port, hosts in stack.inspected(service)["NetworkSettings"]["Ports"].items()
            for host in hosts or ()
        ]
        for service in ("kafka", "postgres", "topics", *OURS)
    }
    assert published.pop("api") == [("8000/tcp", "127.0.0.1")]
    assert not any(published.values())


def test_a_process_gets_only_what_it_needs(stack: Stack) -> None:
    services = json.loads(stack.compose("config", "--format", "json"))["services"]
    known = {field.alias or name.upper() for name, field in Settings.model_fields.items()}
    for service in ("topics", "worker", "materializer", "maintainer", "replayer", "api"):
        assert services[service]["environment"].keys() <= known
    secret = {
        service for service, what in services.items() if "PASSWORD" in str(what) or "CATALOG" in str(what)
    }
    assert secret == {"postgres", "materializer", "maintainer", "replayer", "api"}
    for service, path in (("worker", "/data/objects"), ("api", "/data/lake")):
        (mount,) = [m for m in stack.inspected(service)["Mounts"] if m["Destination"] == path]
        assert mount["RW"] is False


def test_a_worker_killed_at_once_comes_back_and_goes_on(stack: Stack, api: httpx.Client) -> None:
    before = stack.inspected("worker")["RestartCount"]
    path = api.post(
        "/images/", files={"file": ("image.png", picture(1))}, headers={"Prefer": "respond-async"}
    ).headers["location"]
    stack.kill("worker")
    wait_until(lambda: stack.inspected("worker")["RestartCount"] == before + 1, SLOW_S)
    detected(api, path)
    detected(api, upload(api, picture(2)).headers["location"])
    wait_until(lambda: stack.inspected("worker")["State"]["Health"]["Status"] == "healthy", SLOW_S)


def test_another_version_looks_again_and_is_promoted(stack: Stack, api: httpx.Client) -> None:
    image = detected(api, upload(api, png(render(3).image)).headers["location"])
    version = f"{image['detection']['model_name']}:{image['detection']['model_version']}+min_score=0.9"
    started = api.post("/replays", json={"model": version})
    assert started.status_code == 201, started.text
    place = started.headers["location"]
    wait_until(lambda: api.get(place).json()["state"] == "finished", SLOW_S)
    both = {"a": "circles:2", "b": version}
    compared = api.get("/comparisons", params=both)
    assert (compared.status_code, compared.json()["counts"]["gained"]) == (200, 0), compared.text
    promoted = api.post("/promotions", json={"model": version})
    assert promoted.status_code == 201, promoted.text
    now = api.get(f"/images/{image['image_id']}", params={"after": promoted.headers["circles-position"]})
    assert now.json()["detection"]["model_version"] == "2+min_score=0.9"
    assert f"{version} is the current one" in stack.compose("exec", "api", "circles", "promotions")
    assert "is the current one" in stack.compose("exec", "api", "circles", "promote", "--back")


def test_three_workers_share_the_partitions(stack: Stack, api: httpx.Client) -> None:
    def shares() -> list[int]:
        """Partitions of each member. A line is group, member, host, client, number of partitions."""
        table = stack.compose(
            "exec", "kafka", "/opt/kafka/bin/kafka-consumer-groups.sh", "--group", "circles.detect",
            "--describe", "--members", "--bootstrap-server", "localhost:9092",
        )  # fmt: skip
        return [int(line.split()[4]) for line in table.splitlines() if line.startswith("circles.detect")]

    stack.up("--no-recreate", "--scale", "worker=3")
    wait_until(lambda: len(shares()) == 3 and sum(shares()) == 12 and min(shares()) > 0, SLOW_S)
    detected(api, upload(api, picture(3)).headers["location"])


def test_everything_is_still_there_when_the_containers_were_removed(stack: Stack, api: httpx.Client) -> None:
    data = picture(4)
    path = upload(api, data).headers["location"]
    before = detected(api, path)
    stack.compose("down")
    stack.up()
    with httpx.Client(base_url=stack.api_url(), timeout=60, trust_env=False) as new:
        assert new.get(path).json() == before
        assert new.get(path + "/content").content == data
        assert upload(new, data).status_code == httpx.codes.CONFLICT
        detected(new, upload(new, picture(5)).headers["location"])
