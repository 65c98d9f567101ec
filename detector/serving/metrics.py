"""What Prometheus is told. Labels are of models that exist, so that no caller can make up series."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.requests import ClientDisconnect

from detector.errors import DetectorError, Overloaded
from detector.models import Model
from detector.serving.inference import Answer
from detector.serving.queue import Queue
from detector.serving.workers import Workers

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CLIENT_GONE = 499


@dataclass(slots=True)
class Counted:
    """A request under way: what is known of it so far."""

    protocol: str
    model: Model | None = None


class Metrics:
    """One registry for each app, so that two in a process do not add up."""

    def __init__(self, queues: Sequence[Queue], workers: Workers) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        model = ("model", "version")
        self._requests = Counter(
            "detector_requests",
            "Predictions by HTTP status; of gRPC by the status that HTTP would have.",
            ("protocol", *model, "status"),
            registry=registry,
        )
        self._rejected = Counter(
            "detector_rejected", "Requests that found the queue full.", ("protocol",), registry=registry
        )
        self._inference = Histogram(
            "detector_inference_seconds",
            "Decoding and detecting, of all images of a request.",
            model,
            buckets=SECONDS,
            registry=registry,
        )
        self._queued = Histogram(
            "detector_queue_seconds",
            "From a request's whole body to its turn, of those that are not in the background.",
            buckets=SECONDS,
            registry=registry,
        )
        self._images = Counter("detector_images", "Images looked at.", model, registry=registry)
        self._circles = Counter("detector_circles", "Circles found in them.", model, registry=registry)
        waiting = Gauge("detector_waiting", "Requests being read or waiting for a turn.", registry=registry)
        waiting.set_function(lambda: sum(queue.taken for queue in queues) - workers.busy)
        in_flight = Gauge("detector_in_flight", "Requests being worked on.", registry=registry)
        in_flight.set_function(lambda: workers.busy)

    @contextmanager
    def counting(self, protocol: str) -> Iterator[Counted]:
        """Counts a request by how the block ends."""
        counted, status = Counted(protocol), 500
        try:
            yield counted
            status = 200
        except DetectorError as error:
            status = error.status
            if isinstance(error, Overloaded):
                self._rejected.labels(protocol).inc()
            raise
        except (ClientDisconnect, asyncio.CancelledError):
            status = CLIENT_GONE
            raise
        finally:
            self._requests.labels(protocol, *named(counted.model), str(status)).inc()

    def queued(self, seconds: float) -> None:
        self._queued.observe(seconds)

    def answered(self, model: Model, answer: Answer) -> None:
        labels = named(model)
        self._inference.labels(*labels).observe(answer.latency_ms / 1e3)
        self._images.labels(*labels).inc(answer.images)
        self._circles.labels(*labels).inc(answer.circles)


def named(model: Model | None) -> tuple[str, str]:
    return (model.name, model.version) if model else ("", "")
