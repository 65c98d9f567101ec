"""Calls about one image each, sent as fewer requests about several: most of a request's cost is its own."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from streams.errors import InvalidModelAnswer
from streams.gate import Stopping
from streams.model import Answer, KServeModel

MOST_IMAGES = 8
"""In a request: of an eighth of its cost not much is left to save."""
MOST_BYTES = 4_000_000
SLOWEST_S = 0.5
"""For a request, by how long the last one took: a slow model is asked about fewer at a time."""
Waiting: TypeAlias = tuple[bytes, asyncio.Future[Answer]]


class Together:
    """A model that several call at a time; at most so many of their images are under way.

    Those that wait go together, at most half of all that may be under way, so that the server has others
    while an answer is on its way. Where an answer is none, each of its images is asked about alone.
    """

    def __init__(self, model: KServeModel, images_at_once: int, stopping: Callable[[], bool]) -> None:
        self._model, self._images_at_once, self._stopping = model, images_at_once, stopping
        self._waiting: deque[Waiting] = deque()
        self._asking: dict[asyncio.Task[None], int] = {}
        self._image_s = SLOWEST_S

    async def detect(self, image: bytes) -> Answer:
        """Find circles. Raises ModelUnavailable, InvalidModelAnswer; Stopping where it was not asked yet."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, answer))
        self._go_on()
        return await answer

    async def ready(self) -> bool:
        """Whether a call now may succeed."""
        return await self._model.ready()

    def _go_on(self) -> None:
        if self._stopping():
            _fail(self._waiting, Stopping("stopped while others were asked about"))
            self._waiting.clear()
        most = max(1, min(MOST_IMAGES, self._images_at_once // 2, int(SLOWEST_S / self._image_s)))
        most = min(most, self._model.images_at_once)
        while self._waiting and sum(self._asking.values()) + most <= self._images_at_once:
            some = self._next(most)
            task = asyncio.create_task(self._ask(some))
            self._asking[task] = len(some)
            task.add_done_callback(self._done)

    def _next(self, most: int) -> list[Waiting]:
        some = [self._waiting.popleft()]
        size = len(some[0][0])
        while self._waiting and len(some) < most and (size := size + len(self._waiting[0][0])) <= MOST_BYTES:
            some.append(self._waiting.popleft())
        return some

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._asking[task]
        self._go_on()

    async def _ask(self, some: list[Waiting]) -> None:
        began = time.monotonic()
        try:
            answers = await self._model.detect_each([image for image, _ in some])
        except InvalidModelAnswer as error:
            if len(some) == 1:
                _fail(some, error)
            else:
                for one in some:
                    await self._ask([one])
        except Exception as error:
            _fail(some, error)
        else:
            self._image_s = max(1e-6, (time.monotonic() - began) / len(some))
            for (_, waiting), answer in zip(some, answers, strict=True):
                if not waiting.done():  # else its caller has given up
                    waiting.set_result(answer)


def _fail(some: Iterable[Waiting], error: Exception) -> None:
    for _, waiting in some:
        if not waiting.done():
            waiting.set_exception(error)
