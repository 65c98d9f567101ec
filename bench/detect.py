"""The detect stage: images a second from event to event, against the detector called in a loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import cv2
import psutil
import uuid_utils.compat as uuids
from confluent_kafka import Consumer, KafkaException, TopicPartition

import detector
from bench import events
from bench.load import load
from bench.measure import Figure, Say, interleaved, median, ratio
from bench.server import encoded
from bench.stack import infrastructure, processes, produce
from detector.images import decode
from detector.serving.memory import keep_buffers
from streams.settings import Settings
from streams.store import Store
from streams.topics import DETECTED, UPLOADED

SCENES = 24
IMAGES = 600
"""In a round; each scene comes several times, as an image of its own."""
ROUNDS = 3
CORES = os.cpu_count() or 1
STAGE, HTTP = "detect stage", "model server, 4 requests at once"
LOOP, THREADS = "detector in a loop", f"detector in {CORES} threads"


def run(say: Say) -> list[Figure]:
    # As the model server does: its parallelism is between images, and it keeps its memory.
    cv2.setNumThreads(1)
    keep_buffers()
    with infrastructure() as settings:
        say(f"rendering {SCENES} scenes")
        photographs = [events.photograph(seed) for seed in range(SCENES)]
        uris = asyncio.run(_store(settings, photographs))
        with processes(settings, "model", "worker") as supervisor, _results(settings) as results:
            model = psutil.Process(supervisor.pids()["model"])
            stage = partial(through_stage, settings, uris, photographs, results)
            say("warming up")
            stage()
            cases: dict[str, Callable[[], float]] = {
                STAGE: stage,
                HTTP: partial(through_model_server, settings, photographs, model),
                LOOP: partial(in_threads, photographs, 1),
                THREADS: partial(in_threads, photographs, CORES),
            }
            found = interleaved(ROUNDS, cases, say)
    figures = [median(name, "images/s", rates) for name, rates in found.items()]
    return figures + [ratio(STAGE, found[STAGE], found[limit], limit) for limit in (LOOP, THREADS, HTTP)]


def through_stage(settings: Settings, uris: list[str], photographs: list[bytes], results: Consumer) -> float:
    """From the first event sent to the last result on the log."""
    uploads = [
        events.uploaded(uuids.uuid7(), uris[n % SCENES], photographs[n % SCENES]) for n in range(IMAGES)
    ]
    began, seen = time.perf_counter(), 0
    produce(settings, UPLOADED, uploads)
    while seen < IMAGES:
        batch = results.consume(IMAGES, 0.02)
        for message in batch:
            if error := message.error():
                raise KafkaException(error)
        seen += len(batch)
        assert time.perf_counter() - began < 60, f"{seen} of {IMAGES} results after a minute"
    return IMAGES / (time.perf_counter() - began)


def through_model_server(settings: Settings, photographs: list[bytes], server: psutil.Process) -> float:
    """The same images straight to the model server, as many at once as the stage sends."""
    url = f"{settings.model_server_url}/v2/models/{settings.model_name}/infer"
    found = load(encoded(url, photographs), server, seconds=4, connections=settings.model_concurrency)
    return found.requests_per_s


def in_threads(photographs: list[bytes], threads: int) -> float:
    """The same images in this process, without server, log or storage."""
    images = [photographs[n % SCENES] for n in range(IMAGES)]
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(_look, images):
            pass
    return IMAGES / (time.perf_counter() - began)


def _look(image: bytes) -> None:
    detector.detect(decode(image))


@contextmanager
def _results(settings: Settings) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "bench",
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(DETECTED.name, timeout=10).topics[DETECTED.name].partitions
    consumer.assign([TopicPartition(DETECTED.name, p, 0) for p in partitions])
    try:
        yield consumer
    finally:
        consumer.close()


async def _store(settings: Settings, photographs: list[bytes]) -> list[str]:
    store = Store(settings.objects_url, 10_000_000)
    return [await store.put(f"scene-{n}.jpg", data) for n, data in enumerate(photographs)]
