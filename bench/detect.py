"""The detect stage: images a second from event to event, against the detector called in a loop."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import cv2
import orjson
import psutil
import uuid_utils.compat as uuids
from confluent_kafka import Consumer, KafkaException, TopicPartition

import detector
from bench import events
from bench.load import Request, load
from bench.measure import Figure, Say, interleaved, median, ratio
from bench.stack import infrastructure, processes, produce
from detector.images import decode
from streams.settings import Settings
from streams.store import Store
from streams.topics import DETECTED, UPLOADED

SCENES = 24
IMAGES = 36
"""In a round; each scene comes several times, as an image of its own."""
ROUNDS = 3
CORES = os.cpu_count() or 1
STAGE, HTTP = "detect stage", "model server, 4 requests at once"
LOOP, THREADS = "detector in a loop", f"detector in {CORES} threads"


def run(say: Say) -> list[Figure]:
    cv2.setNumThreads(1)  # as the model server does: its parallelism is between images
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
    url = f"{settings.model_server_url}/v1/models/{settings.model_name}:predict"
    bodies = [
        orjson.dumps({"instances": [{"image": {"b64": base64.b64encode(data).decode()}}]})
        for data in photographs
    ]
    requests = (Request("POST", url, body=bodies[n % SCENES]) for n in range(1_000_000))
    return load(requests, server, seconds=1.5, connections=settings.model_concurrency).requests_per_s


def in_threads(photographs: list[bytes], threads: int) -> float:
    """The same images in this process, without server, log or storage."""
    images = [photographs[n % SCENES] for n in range(IMAGES)]
    began = time.perf_counter()
    if threads == 1:
        _work(images)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(_work, images[n::threads]) for n in range(threads)]:
                done.result()
    return IMAGES / (time.perf_counter() - began)


def _work(images: Iterable[bytes]) -> None:
    for data in images:
        detector.detect(decode(data))


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
