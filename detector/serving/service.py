"""What all protocols share in a server process: the queue, the workers, the metrics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

import cv2
import numpy as np
from starlette.requests import ClientDisconnect

from detector import models
from detector.models import Model
from detector.serving.inference import Answer
from detector.serving.limits import Limits
from detector.serving.metrics import Metrics
from detector.serving.queue import Queue
from detector.serving.workers import Workers

ASK_AFTER_S = 0.005
"""Of waiting: whoever had a turn sooner is still there, and asking takes a fifth of a millisecond."""


class Service:
    """One for an app. A prediction takes a place in `queue`, reads its body, and is answered here."""

    def __init__(self, limits: Limits) -> None:
        cv2.setNumThreads(1)  # the parallelism is between requests
        self.limits = limits
        self.queue = Queue(limits.workers + limits.waiting, limits.queue_bytes)
        self.workers = Workers(limits)
        self.metrics = Metrics(self.queue, self.workers)

    async def answer(
        self, model: Model, work: Callable[[], Answer], gone: Callable[[], Awaitable[bool]]
    ) -> Answer:
        """Work's answer, after its turn came. Raises what it raises, ModelCrashed, ClientDisconnect.

        A caller that gave up while waiting has likely sent its image again: without asking, an
        overloaded server would spend itself on answers nobody reads.
        """
        began = time.perf_counter()
        async with self.workers.turn(model):
            waited = time.perf_counter() - began
            self.metrics.queued(waited)
            if waited > ASK_AFTER_S and await gone():
                raise ClientDisconnect
            found = await self.workers.run(model, work)
        self.metrics.answered(model, found)
        return found

    async def warm_up(self) -> None:
        """Let models compile or load what they do at their first image, before the server is ready."""
        disc = cv2.circle(np.full((240, 320, 3), 40, np.uint8), (160, 120), 50, (200, 180, 160), -1)
        image = np.asarray(disc, np.uint8)
        for model in models.MODELS:
            if not model.may_crash:
                await self.workers.run(model, partial(model.detect, image))
