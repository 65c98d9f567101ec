"""Freshness: milliseconds from an upload to its circles being queryable, one image at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

import cv2
import httpx

import detector
from bench import events
from bench.measure import Figure, Say, interleaved, percentile, ratio
from bench.stack import infrastructure, processes
from detector.images import decode

UPLOADS = 20
"""In a round."""
ROUNDS = 3
SCENES = 15
WHOLE, ALONE = "upload to queryable", "detector alone"
PARTS = (
    WHOLE,
    "sent to uploaded_at (received, checked, claimed)",
    "uploaded_at to detected_at (stored, logged, detected)",
    "of that the model call",
    "detected_at to answered (logged, folded, committed, found)",
)
Samples = dict[str, list[float]]
"""Milliseconds of each image, by part."""


def run(say: Say) -> list[Figure]:
    cv2.setNumThreads(1)
    say(f"rendering {SCENES} scenes")
    scenes = [events.photograph(seed) for seed in range(SCENES)]
    pictures = [scenes[n % SCENES] for n in range(UPLOADS)]
    with (
        infrastructure() as settings,
        processes(settings, "model", "worker", "materializer", "api"),
        httpx.Client(base_url=settings.api_url, timeout=60) as client,
    ):
        say("warming up")
        for picture in pictures[:10]:
            upload(client, picture)
        cases: dict[str, Callable[[], Samples]] = {
            WHOLE: partial(through_the_flow, client, pictures),
            ALONE: partial(alone, pictures),
        }
        found = interleaved(ROUNDS, cases, say)
    figures = []
    for part in PARTS:
        rounds = [samples[part] for samples in found[WHOLE]]
        figures += [percentile(part, "ms", percent, rounds) for percent in (50, 99)]
    figures += [percentile(ALONE, "ms", p, [samples[ALONE] for samples in found[ALONE]]) for p in (50, 99)]
    ours, limit = (
        [f.value for f in (percentile(n, "ms", 50, [s[n]]) for s in found[n])] for n in (WHOLE, ALONE)
    )
    return [*figures, ratio(f"{WHOLE}, p50", ours, limit, f"{ALONE}, p50")]


def through_the_flow(client: httpx.Client, pictures: list[bytes]) -> Samples:
    samples: Samples = {part: [] for part in PARTS}
    for picture in pictures:
        for part, milliseconds in zip(PARTS, upload(client, picture), strict=True):
            samples[part].append(milliseconds)
    return samples


def upload(client: httpx.Client, picture: bytes) -> tuple[float, float, float, float, float]:
    """Send one image and wait for its circles; the PARTS. All clocks are this machine's."""
    sent = time.time()
    answer = client.post("/images/", files={"file": ("a.jpg", events.distinct(picture))})
    answered = time.time()
    assert answer.status_code == 201 and answer.json()["detection"], f"{answer.status_code}: {answer.text}"
    image = client.get(f"/images/{answer.json()['image_id']}").raise_for_status().json()
    uploaded_at = datetime.fromisoformat(image["uploaded_at"]).timestamp()
    detected_at = datetime.fromisoformat(image["detection"]["detected_at"]).timestamp()
    return (
        (answered - sent) * 1000,
        (uploaded_at - sent) * 1000,
        (detected_at - uploaded_at) * 1000,
        float(image["detection"]["latency_ms"]),
        (answered - detected_at) * 1000,
    )


def alone(pictures: list[bytes]) -> Samples:
    """The same pictures decoded and detected in this process."""
    samples: list[float] = []
    for picture in pictures:
        began = time.perf_counter()
        detector.detect(decode(picture))
        samples.append((time.perf_counter() - began) * 1000)
    return {ALONE: samples}
