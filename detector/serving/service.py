"""What all protocols share in a server process: the queue, the workers, the metrics."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import cv2
import numpy as np
from starlette.requests import ClientDisconnect

from detector import models
from detector.errors import Overloaded
from detector.models import Model
from detector.serving.inference import Answer, Asked, Found, answered, begin, infer, is_many, together
from detector.serving.limits import Limits
from detector.serving.metrics import Metrics
from detector.serving.queue import Queue
from detector.serving.workers import USUAL, Workers

ASK_AFTER_S = 0.005
"""Of waiting: whoever had a turn sooner is still there, and asking takes a fifth of a millisecond."""


URGENCY = re.compile(r"(?:^|,)\s*u=([0-7])\s*(?:[,;]|$)")


def urgency_of(priority: str) -> int:
    """What the header Priority (`u=7`) says. Nobody is more urgent than usual: anybody could say so."""
    said = URGENCY.search(priority)
    return max(USUAL, int(said[1])) if said else USUAL


class Service:
    """One for an app. A prediction takes a place in a queue, reads its body, and is answered here."""

    def __init__(self, limits: Limits) -> None:
        cv2.setNumThreads(1)  # the parallelism is between requests
        self.limits = limits
        self.queue = Queue(limits.workers + limits.waiting, limits.queue_bytes)
        self.background = Queue(limits.background, limits.queue_bytes)
        self.workers = Workers(limits)
        self.metrics = Metrics((self.queue, self.background), self.workers)

    def queue_of(self, urgency: int) -> Queue:
        """Those in the background have places of their own: however many they are, others find theirs."""
        return self.queue if urgency <= USUAL else self.background

    async def answer(
        self,
        model: Model,
        read: Callable[[], Asked],
        gone: Callable[[], Awaitable[bool]],
        urgency: int = USUAL,
    ) -> Answer:
        """The answer to what `read` gives, after its turn came. Raises what that raises, InvalidImage,
        ModelCrashed, ClientDisconnect, and Overloaded in the background, where its turn does not come.

        A caller that gave up while waiting has likely sent its image again: without asking, an
        overloaded server would spend itself on answers nobody reads.
        """
        work: Callable[[], Answer | Asked] = partial(begin, model, read)
        if urgency > USUAL:  # in no hurry: read by another thread, so that no core waits for it
            asked = await asyncio.to_thread(read)
            if is_many(model, asked):
                return await self._one_by_one(model, asked, gone, urgency)
            work = partial(answered, model, asked)
        async with self._turn(model, urgency) as waited:
            if urgency <= USUAL:
                self.metrics.queued(waited)
            if waited > ASK_AFTER_S and await gone():
                raise ClientDisconnect
            begun = await self.workers.run(model, work)
        if isinstance(begun, Asked):
            return await self._one_by_one(model, begun, gone, urgency)
        self.metrics.answered(model, begun)
        return begun

    async def _one_by_one(
        self, model: Model, asked: Asked, gone: Callable[[], Awaitable[bool]], urgency: int
    ) -> Answer:
        """The images take the cores that are free, and others come between them.

        Who has a core keeps it for the next image while nobody else wants it: to give it back and have it
        again takes a twentieth of an image.
        """
        found: dict[int, Found] = {}
        left = iter(range(len(asked.sources)))

        async def some() -> None:
            task = asyncio.current_task()
            assert task

            def work(number: int) -> None:
                found[number] = infer(model, asked, number)
                while not (task.cancelling() or self.workers.turns.is_wanted(urgency)):
                    if (more := next(left, None)) is None:
                        return
                    found[more] = infer(model, asked, more)

            for number in left:
                async with self._turn(model, urgency) as waited:
                    await self.workers.run(model, partial(work, number))
                if waited > ASK_AFTER_S and await gone():  # asked when the core is another's already
                    raise ClientDisconnect

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(asked.sources), self.limits.workers)):
                    group.create_task(some())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        whole = together([found[number] for number in sorted(found)])
        answer = await asyncio.to_thread(asked.respond, whole)
        self.metrics.answered(model, answer)
        return answer

    @asynccontextmanager
    async def _turn(self, model: Model, urgency: int) -> AsyncIterator[float]:
        """A turn while the block runs; how many seconds it was waited for. Raises Overloaded."""
        began = time.perf_counter()
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(self.limits.background_wait_s if urgency > USUAL else None):
                    await turn.enter_async_context(self.workers.turn(model, urgency))
            except TimeoutError:
                raise Overloaded("more urgent requests take all turns; try again") from None
            yield time.perf_counter() - began

    async def warm_up(self) -> None:
        """Let models compile or load what they do at their first image, before the server is ready."""
        disc = cv2.circle(np.full((240, 320, 3), 40, np.uint8), (160, 120), 50, (200, 180, 160), -1)
        image = np.asarray(disc, np.uint8)
        for model in models.MODELS:
            if not model.may_crash:
                await self.workers.run(model, partial(model.detect, image))
