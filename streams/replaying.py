"""One replay in one process: what is left of it, from the log through the model and back onto the log.

Which images are left is the view's to say, so that nothing is done twice and a process that dies leaves
nothing undone. Kafka shares the partitions out among the processes that work on one replay, in a group of its
own; the group's offsets mean nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, TypeAlias
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition

from streams import replays
from streams.reevaluation import ReplayRequested
from streams.replay_images import READ_AHEAD, Images, Parts, images_of, member
from streams.topics import DETECTED, REPLAYS, UPLOADED

FAR = 2_000
"""Messages that are not wanted and in a row: from so many on they are jumped over, not read."""
Message: TypeAlias = ConsumerRecord[Any, Any]
Wanted: TypeAlias = deque[tuple[int, UUID]]
"""Offsets and images of a partition that there is no result for yet, in order."""
log = logging.getLogger("streams.replay")


class Replaying(ConsumerRebalanceListener):  # type: ignore[misc]
    """One replay, in this process, until it is finished or `stop` is set."""

    def __init__(self, parts: Parts, replay: ReplayRequested, stop: asyncio.Event) -> None:
        self._parts, self._replay, self._stop = parts, replay, stop
        self._free = asyncio.Semaphore(replay.calls_at_once + READ_AHEAD)
        self._working: set[asyncio.Task[bool | None]] = set()
        self._shared_out = False

    async def on_partitions_revoked(self, _: set[TopicPartition]) -> None:
        """Who gets them asks the view what is left of them: what is under way has to be there first."""
        self._shared_out = False
        if self._working:
            await asyncio.wait(self._working)

    async def on_partitions_assigned(self, _: set[TopicPartition]) -> None: ...

    async def run(self) -> None:
        """Raises KafkaError, RegistryUnavailable, duckdb.Error, psycopg.Error, LakeRefused."""
        parts, replay = self._parts, self._replay
        async with (
            images_of(parts, replay, self._stop) as images,
            member(parts.settings, replay, self) as consumer,
        ):
            try:
                await self._work(consumer, images)
            finally:  # all of them, before the model's client is closed under one
                if self._working:
                    await asyncio.wait(self._working)

    async def _work(self, consumer: AIOKafkaConsumer, images: Images) -> None:
        mine: set[TopicPartition] = set()
        left: dict[int, Wanted] = {}
        while not self._stop.is_set():
            if not self._shared_out or mine != consumer.assignment() or not any(left.values()):
                await asyncio.gather(*self._working)
                mine, self._shared_out = set(consumer.assignment()), True
                left = await self._left(consumer, {place.partition for place in mine})
                for place in mine:
                    self._go_on(consumer, place, left.get(place.partition))
                if not any(left.values()) and await self._is_finished():
                    return
            read = await consumer.getmany(timeout_ms=500, max_records=4 * self._replay.calls_at_once)
            if not read:
                await self._let_go(consumer, left, images)
            for place, messages in read.items():
                wanted = left.get(place.partition, deque())
                for message in messages:
                    await self._reached(place.partition, message.offset, message, wanted, images)
                if place in consumer.assignment():
                    self._go_on(consumer, place, wanted, messages[-1].offset + 1)

    def _go_on(
        self, consumer: AIOKafkaConsumer, place: TopicPartition, wanted: Wanted | None, at: int | None = None
    ) -> None:
        """Read on at what is wanted next. at: where the consumer is."""
        if not wanted:
            consumer.pause(place)
        elif at is None or wanted[0][0] - at > FAR:
            consumer.resume(place)
            consumer.seek(place, wanted[0][0])

    async def _let_go(self, consumer: AIOKafkaConsumer, left: dict[int, Wanted], images: Images) -> None:
        """Where nothing comes: what is wanted may have left the log, and no message be behind it."""
        places = [place for place in consumer.assignment() if left.get(place.partition)]
        for place, begin in (await consumer.beginning_offsets(places)).items():
            await self._reached(place.partition, begin - 1, None, left[place.partition], images)

    async def _reached(
        self, partition: int, at: int, message: Message | None, wanted: Wanted, images: Images
    ) -> None:
        """Begin with a message where it is wanted, once there is room; what was before it is gone."""
        while wanted and wanted[0][0] <= at and self._shared_out and not self._stop.is_set():
            offset, image_id = wanted.popleft()
            await self._free.acquire()
            if not self._shared_out:
                self._free.release()
                return
            value = message.value if message is not None and offset == at else None
            task = asyncio.create_task(images.take(image_id, partition, offset, value))
            self._working.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[bool | None]) -> None:
        self._free.release()
        if not task.cancelled() and task.exception() is None:
            self._working.discard(task)  # one that failed is raised where all are waited for

    async def _left(self, consumer: AIOKafkaConsumer, partitions: set[int]) -> dict[int, Wanted]:
        """What this process has to do, once the view has all that is on the log now."""
        folded = await self._parts.view.folded()
        outcomes = [TopicPartition(*at) for at in folded if at[0] in (DETECTED.name, REPLAYS.name)]
        found = await consumer.end_offsets(outcomes)
        ends = {(place.topic, place.partition): end for place, end in found.items()}
        ends |= {(UPLOADED.name, partition): end for partition, end in enumerate(self._replay.ends)}
        looks = 0
        while behind := [at for at, end in ends.items() if folded.get(at, 0) < end]:
            looks += 1
            if looks % 100 == 0:
                log.warning("waits for the materializer: %d partitions are not folded yet", len(behind))
            if self._stop.is_set():
                return {}
            await asyncio.sleep(0.1)
            folded = await self._parts.view.folded()
        left = await self._parts.view.ask(lambda view: replays.left(view, self._replay))
        return {partition: deque(left[partition]) for partition in partitions & left.keys()}

    async def _is_finished(self) -> bool:
        progress = await self._parts.view.ask(lambda view: replays.progress(view, self._replay))
        if progress.left:
            return False  # another process works on it
        await self._parts.finish(self._replay, by="replay")
        return True
