"""The bare models on one core: milliseconds an image, decoded before; and two ways to use all cores."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import chain, repeat

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.measure import Figure, Say, interleaved, percentile, ratio
from detector import models
from detector.scenes import render, render_hard

ROUNDS = 5
EASY, HARD = 16, 32
LARGE = (5774, 4330)
"""25 megapixels."""
CORES = os.cpu_count() or 1
AGAIN = 4
"""Times that a worker does each image, so that starting it does not count."""

Image = NDArray[np.uint8]


def run(say: Say) -> list[Figure]:
    cv2.setNumThreads(1)
    say(f"rendering {EASY + HARD} scenes")
    images = [
        *(render(seed).image for seed in range(EASY)),
        *(render_hard(seed).image for seed in range(HARD)),
    ]
    large = np.asarray(cv2.resize(images[0], LARGE, interpolation=cv2.INTER_CUBIC), np.uint8)
    cases = {f"circles:{version}, 640 x 480": partial(each, version, images) for version in ("1", "2")}
    cases["circles:2, 25 megapixels"] = partial(each, "2", [large] * 5)
    for case in cases.values():
        case()
    found = interleaved(ROUNDS, cases, say)
    figures = [percentile(name, "ms", p, rounds) for name, rounds in found.items() for p in (50, 99)]
    with (
        ThreadPoolExecutor(CORES) as threads,
        ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as processes,
    ):
        ways: dict[str, Callable[[], float]] = {
            "one thread": partial(in_one, images),
            f"{CORES} threads": partial(shared, threads, images),
            f"{CORES} processes": partial(shared, processes, images),
        }
        for way in ways.values():
            way()
        rates = interleaved(ROUNDS, ways, say)
    one = rates.pop("one thread")
    return figures + [ratio(f"images/s, {name}", each, one, "one thread") for name, each in rates.items()]


def each(version: str, images: list[Image]) -> list[float]:
    """Milliseconds of each image."""
    model = models.find("circles", version)
    took = []
    for image in images:
        began = time.perf_counter()
        model.detect(image)
        took.append((time.perf_counter() - began) * 1e3)
    return took


def in_one(images: list[Image]) -> float:
    return len(images) * 1e3 / sum(each("2", images))


def shared(pool: Executor, images: list[Image]) -> float:
    """Images a second with the work spread over a pool's workers."""
    began = time.perf_counter()
    parts = [images[n::CORES] * AGAIN for n in range(CORES)]
    done = chain.from_iterable(pool.map(each, repeat("2", CORES), parts))
    return sum(1 for _ in done) / (time.perf_counter() - began)
