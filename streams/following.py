"""A replay without an end, in one process: what is uploaded, through another version beside the current one.

It reads in order, so one offset of a partition says what is left, and that is where Kafka's group is. With
the offset goes how many images are done before it: both change in one step, and to look costs nothing. When
partitions come here the view is asked which images from there on have a result: those are not done again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition

from streams import promotions, replays
from streams.errors import InvalidRecord
from streams.records import ImageUploaded
from streams.reevaluation import ReplayRequested
from streams.replay_images import READ_AHEAD, Images, Parts, images_of, member
from streams.replay_progress import Reached, reached
from streams.topics import UPLOADED

COMMIT_S = 0.5
"""Between commits. What was done since the last one is asked of the view after a crash."""
LOOK_S = 1.0
"""Between looks whether its version was promoted."""
log = logging.getLogger("streams.replay")


@dataclass(slots=True)
class Lane:
    """A partition, in order. done: whether images behind were detected or missed before, by offset.

    at: the next message to be read. working: what is under way, by offset.
    """

    at: int
    detected: int
    missed: int
    done: dict[int, bool] = field(default_factory=dict)
    working: deque[tuple[int, asyncio.Task[bool | None]]] = field(default_factory=deque)
    committed: Reached | None = None

    def now(self) -> Reached:
        """How far all is done. Raises what an image's way to the log ended with."""
        while self.working and self.working[0][1].done():
            if (outcome := self.working[0][1].result()) is None:
                break
            self.working.popleft()
            self.count(outcome)
        return Reached(self.working[0][0] if self.working else self.at, self.detected, self.missed)

    def count(self, outcome: bool) -> None:
        self.detected += outcome
        self.missed += not outcome


class Following(ConsumerRebalanceListener):  # type: ignore[misc]
    """One replay, in this process, until its version is promoted or `stop` is set."""

    def __init__(self, parts: Parts, replay: ReplayRequested, stop: asyncio.Event) -> None:
        self._parts, self._replay, self._stop = parts, replay, stop
        self._free = asyncio.Semaphore(replay.calls_at_once + READ_AHEAD)
        self._lanes: dict[TopicPartition, Lane] = {}
        self._shared_out = False
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] | None = None
        self._committed_at = self._looked_at = 0.0

    async def on_partitions_revoked(self, _: set[TopicPartition]) -> None:
        """Who gets them goes on at what is committed: what is under way has to be there first."""
        self._shared_out = False
        await self._settle()

    async def on_partitions_assigned(self, _: set[TopicPartition]) -> None: ...

    async def run(self) -> None:
        """Raises KafkaError, RegistryUnavailable, duckdb.Error, psycopg.Error, LakeRefused."""
        parts, replay = self._parts, self._replay
        async with (
            images_of(parts, replay, self._stop) as images,
            member(parts.settings, replay, self) as self._consumer,
        ):
            try:
                await self._work(self._consumer, images)
            finally:  # all of them, before the model's client is closed under one
                await self._settle()

    async def _work(self, consumer: AIOKafkaConsumer, images: Images) -> None:
        while not self._stop.is_set():
            if not self._shared_out or self._lanes.keys() != consumer.assignment():
                await self._settle()
                self._shared_out = True
                await self._begin(consumer, images, set(consumer.assignment()))
            read = await consumer.getmany(timeout_ms=500, max_records=4 * self._replay.calls_at_once)
            for place, messages in read.items():
                for message in messages:
                    await self._reached(consumer, place, message, images)
                if place in self._lanes:
                    self._lanes[place].now()  # what is done need not be kept
            if (now := time.monotonic()) >= self._committed_at + COMMIT_S:
                self._committed_at = now
                await self._commit()
            if now >= self._looked_at + LOOK_S:
                self._looked_at = now
                if await self._has_come_to_its_end(consumer):
                    await self._parts.finish(self._replay, by="its promotion")
                    return

    async def _begin(self, consumer: AIOKafkaConsumer, images: Images, places: set[TopicPartition]) -> None:
        """Go on where the group is, or at the beginning where it has not been."""
        self._lanes = {}
        if not places:
            return
        replay = self._replay
        partitions = max(place.partition for place in places) + 1
        there = await reached(self._parts.settings, replay.replay_id)
        begins = dict(enumerate(replay.begins))  # 0 in partitions that were added since
        at = {p: there.get(p) or Reached(begins.get(p, 0), 0, 0) for p in range(partitions)}
        ahead = [at[p].offset for p in range(partitions)]
        done = await self._parts.view.ask(lambda view: replays.done(view, replay, ahead))
        kept = await consumer.beginning_offsets(places)
        for place in places:
            here = at[place.partition]
            lane = Lane(here.offset, here.detected, here.missed, done.get(place.partition, {}))
            lane.committed = there.get(place.partition)
            if lane.at < kept[place]:
                await self._pass_over(images, place, lane, kept[place])
            consumer.seek(place, lane.at)
            self._lanes[place] = lane

    async def _pass_over(self, images: Images, place: TopicPartition, lane: Lane, end: int) -> None:
        """Say of each image that the log does not hold any more that it was missed."""
        partition = place.partition
        gone = [(lane.at, end) if p == partition else (0, 0) for p in range(partition + 1)]
        left = await self._parts.view.ask(lambda view: replays.left(view, self._replay, gone))
        for offset, image_id in left.get(partition, ()):
            await images.take(image_id, partition, offset, None)
            lane.count(False)
        for outcome in [lane.done.pop(offset) for offset in sorted(lane.done) if offset < end]:
            lane.count(outcome)
        lane.at = end

    async def _reached(
        self,
        consumer: AIOKafkaConsumer,
        place: TopicPartition,
        message: ConsumerRecord[Any, Any],
        images: Images,
    ) -> None:
        """Begin with a message where it is wanted, once there is room."""
        lane = self._lanes.get(place)
        if lane is None or not self._shared_out or self._stop.is_set() or message.offset < lane.at:
            return
        if message.offset > lane.at and (await consumer.beginning_offsets([place]))[place] > lane.at:
            self._shared_out = False  # the log was cut under it: begin anew
            return
        wanted = self._wanted(message)
        if wanted is not None and message.offset not in lane.done:
            await self._free.acquire()
            if not self._shared_out:  # another's, or this one's, from what was committed
                self._free.release()
                return
            take = images.take(wanted.image_id, place.partition, message.offset, message.value)
            task = asyncio.create_task(take)
            task.add_done_callback(lambda _: self._free.release())
            lane.working.append((message.offset, task))
        elif (outcome := lane.done.pop(message.offset, None)) is not None:
            lane.count(outcome)
        lane.at = message.offset + 1

    def _wanted(self, message: ConsumerRecord[Any, Any]) -> ImageUploaded | None:
        """The upload, where it is one that the replay is about."""
        try:
            record = self._parts.codec.decode(message.value, UPLOADED.records)
        except InvalidRecord:  # of which the detect stage makes a dead letter
            return None
        assert isinstance(record, ImageUploaded)
        return record if replays.is_about(self._replay, record) else None

    async def _settle(self) -> None:
        """Return once nothing is under way, and what is done is committed."""
        if tasks := [task for lane in self._lanes.values() for _, task in lane.working]:
            await asyncio.wait(tasks)
        await self._commit()

    async def _commit(self) -> None:
        if self._consumer is None:
            return
        now = {place: lane.now() for place, lane in self._lanes.items()}
        mine = self._consumer.assignment()  # what is another's by now it does again from where it was
        changed = {p: at for p, at in now.items() if p in mine and at != self._lanes[p].committed}
        if changed:
            await self._consumer.commit({place: (at.offset, at.said()) for place, at in changed.items()})
            for place, at in changed.items():
                self._lanes[place].committed = at

    async def _has_come_to_its_end(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether its version was promoted, and it has come to where the log ended when that was seen.

        Workers detect by that version what comes later.
        """
        version = (self._replay.model_name, self._replay.model_version)
        if self._ends is None and version == await self._parts.view.ask(promotions.newest):
            partitions: Iterable[int] = consumer.partitions_for_topic(UPLOADED.name) or ()
            self._ends = await consumer.end_offsets([TopicPartition(UPLOADED.name, p) for p in partitions])
        ends = self._ends
        if ends is None or any(lane.now().offset < ends.get(at, 0) for at, lane in self._lanes.items()):
            return False
        await self._commit()
        committed = {place: await consumer.committed(place) or 0 for place in ends}
        return all(committed[place] >= end for place, end in ends.items())
