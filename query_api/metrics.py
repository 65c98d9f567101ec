"""What Prometheus is told of the API: requests by route, method and status, and how full its ways in are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from query_api.turns import Turns

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_NAMES = [*map(str, SECONDS), "+Inf"]


class Metrics(Collector):
    """One for each app. Counted on the event loop alone, so in plain numbers, without a lock each.

    Labels are a route's template and known methods, so that no caller can make up series.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._answered: dict[tuple[str, str, int], list[int]] = {}
        self._took_s: dict[tuple[str, str, int], float] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def answered(self, route: str, method: str, status: int, took_s: float) -> None:
        """Count an answer; `route` is empty where no route took the request."""
        key = route, method if method in METHODS else "other", status
        counts = self._answered.get(key)
        if counts is None:
            counts = self._answered[key] = [0] * len(_NAMES)
            self._took_s[key] = 0.0
        counts[bisect_left(SECONDS, took_s)] += 1
        self._took_s[key] += took_s

    def collect(self) -> Iterator[Metric]:
        """What there is to tell now; for the registry."""
        requests = HistogramMetricFamily(
            "circles_api_request_seconds",
            "Requests by the route that took them, until their answer was sent.",
            labels=("route", "method", "status"),
        )
        for (route, method, status), counts in self._answered.items():
            upto = [sum(counts[: n + 1]) for n in range(len(counts))]
            took_s = self._took_s[route, method, status]
            requests.add_metric([route, method, str(status)], list(zip(_NAMES, upto, strict=True)), took_s)
        yield requests
        under_way = "Uploads being read, waiting for their turn, or worked on."
        yield GaugeMetricFamily("circles_api_uploads_under_way", under_way, self._turns.taken)
        refused = "Uploads that found no place (429)."
        yield CounterMetricFamily("circles_api_uploads_refused", refused, self._turns.refused)


def routes(metrics: Metrics) -> APIRouter:
    """The router."""
    router = APIRouter(tags=["system"])

    @router.get("/metrics", response_class=PlainTextResponse)
    async def exposition() -> Response:
        """For Prometheus, in its text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
