"""A fresh view, folded from the log beside the live one, compared with it and switched to in one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from confluent_kafka import Consumer, TopicPartition

from streams import compare, generations, lake, ledger, partitions
from streams.codec import Codec
from streams.commit import View, Writer
from streams.compare import Compared
from streams.errors import GenerationInUse, LogRemade, LogTruncated
from streams.follow import Follower
from streams.generations import Catalog, Point
from streams.ledger import Ledger, Offsets
from streams.settings import Settings

NEAR_S = 1.0
"""A fresh view is level with the live one once what that gained meanwhile is folded in this time."""
HOLD_S = 2.0
"""Most time that commits to the live view are held up for the switch."""
LARGER = 2
"""Times the materializer's batch: nobody waits for these rows, and larger commits cost a fifth less CPU."""
ANEW = "`circles rebuild --afresh` begins anew"

Progress = Callable[[int, int], None]
"""Told after each commit how many messages are folded, and how many it will take to be level."""


class Rebuild:
    """A view being built, as long as `building` holds it."""

    def __init__(
        self, settings: Settings, catalog: Catalog, live: str, generation: str, fresh: Ledger, lost: Offsets,
        remade: frozenset[str], log: Consumer, follower: Follower,
    ) -> None:  # fmt: skip
        self.live, self.generation, self.lost = live, generation, lost
        self._settings, self._catalog, self._fresh, self._remade = settings, catalog, fresh, remade
        self._log, self._follower = log, follower
        self._level: Point | None = None

    def follow(self, progress: Progress) -> None:
        """Fold until level with the live view."""
        while True:
            point = generations.point(self._catalog, self.live)
            target = self._target(point.offsets)
            began = time.monotonic()
            self._follower.to(target, partial(self._tell, progress, target))
            self._level = point
            if time.monotonic() - began < NEAR_S:
                return

    def compare(self) -> list[Compared]:
        """Every table beside the live view's, at the offsets where `follow` ended."""
        assert self._level, "nothing to compare before it is level"
        with lake.connect(self._settings, read_only=True, generation=self.live) as views:
            lake.attach(views, self._settings, self.generation, "fresh", read_only=True)
            return compare.compare(views, "lake", "fresh", self._level.snapshot)

    def switch(self, progress: Progress) -> None:
        """Make this view live and retire the one that is, in one transaction.

        Commits to the live view wait meanwhile and are refused then, so that nobody who read a row there
        misses it here. Raises GenerationInUse.
        """
        while True:
            self.follow(progress)
            with self._catalog.transaction():
                generations.hold_live(self._catalog, self.live)
                target = self._target(Ledger(self._catalog, self.live).stored())
                tell = partial(self._tell, progress, target)
                if self._follower.to(target, tell, until=time.monotonic() + HOLD_S):
                    generations.switch(self._catalog, self.live, self.generation)
                    return

    def _tell(self, progress: Progress, target: Offsets) -> None:
        before = sum(self._fresh.first().values())
        progress(sum(self._follower.folded.values()) - before, sum(target.values()) - before)

    def _target(self, live: Offsets) -> Offsets:
        """Where to fold to, to be level with a live view that is folded so far.

        Of a topic that was made anew the live view's offsets mean other messages: that is folded to its end.
        """
        target = {at: offset for at, offset in live.items() if at[0] not in self._remade}
        for at in self._follower.folded:
            if at[0] in self._remade:
                target[at] = _marks(self._log, at)[1]
        if new := {at: _marks(self._log, at)[0] for at in target.keys() - self._follower.folded.keys()}:
            self._fresh.add(new)
            self._follower.add(new)
        return target


@contextmanager
def building(
    settings: Settings, name: str | None = None, *, afresh: bool = False, force: bool = False
) -> Iterator[Rebuild]:
    """Hold the view that is being built, or begin one.

    name: a retired one that is to be folded on instead; it is retired again if it was not switched to.
    afresh: drop the one being built and begin anew. force: also where the log lost messages that the live
    view is folded from. Raises GenerationInUse, LogTruncated, LogRemade, ValueError, KafkaException,
    duckdb.Error, psycopg.Error.
    """
    current = lake.live(settings)
    with (
        lake.catalog(settings) as catalog,
        lake.catalog(settings) as own,  # of the commits, which are in no transaction of the switch
        partitions.consumer(settings, group_id="circles.rebuild", enable_partition_eof=True) as log,
        generations.held(catalog),
        _chosen(settings, catalog, name, afresh=afresh) as there,
    ):
        live, ids, counts = Ledger(catalog, current), partitions.topic_ids(settings), partitions.counted(log)
        remade = frozenset(t for t, made in live.made_from({}, {}).items() if ids.get(t) != made)
        begun = Ledger(own, there) if there else None
        offsets = _offsets(log, counts, begun)
        lost = missed(offsets | (begun.first() if begun else {}), live.first(), live.stored(), remade)
        if lost and not force:
            raise LogTruncated(f"{told(lost)}. To do without them, say --force")
        generation = there or ledger.begin(catalog, "building")
        lake.create_tables(settings, catalog, generation)
        fresh = Ledger(own, generation)
        if fresh.made_from(ids, counts) != ids:
            raise LogRemade(f"a topic was deleted and made anew since {generation} was begun: {ANEW}")
        fresh.add(offsets)
        with (
            lake.connect(settings, read_only=False, generation=generation) as view,
            Writer(View(view, fresh, shared=False), offsets, linger_s=0) as writer,
        ):
            codec = Codec.from_url(settings.schema_registry_url)
            follower = Follower(log, writer, codec, offsets, LARGER * settings.fold_batch_size)
            yield Rebuild(settings, catalog, current, generation, fresh, lost, remade, log, follower)


@contextmanager
def _chosen(settings: Settings, catalog: Catalog, name: str | None, *, afresh: bool) -> Iterator[str | None]:
    """The view to go on with; None to begin one."""
    there = next((each.name for each in generations.listed(catalog) if each.state == "building"), None)
    if name is None or name == there:
        if afresh and there:
            generations.remove(settings, catalog, there)
        yield None if afresh else there
        return
    if generations.named(catalog, name).state == "live":
        raise ValueError(f"{name} is the live view already")
    if there:
        raise GenerationInUse(f"{there} is being built: finish it with `circles rebuild`, or drop it")
    generations.change(catalog, name, "retired", "building")
    try:
        yield name
    finally:
        if not catalog.broken and generations.named(catalog, name).state == "building":
            generations.change(catalog, name, "building", "retired")


def _offsets(log: Consumer, counts: Mapping[str, int], begun: Ledger | None) -> Offsets:
    """Where each partition goes on: what is stored, or the log's start. Raises LogTruncated."""
    stored, offsets = begun.stored() if begun else Offsets(), Offsets()
    for topic, count in counts.items():
        for at in ((topic, partition) for partition in range(count)):
            low, _ = _marks(log, at)
            offsets[at] = stored.get(at, low)
            if offsets[at] < low:
                raise LogTruncated(
                    f"{topic}[{at[1]}] begins at {low}, but the view being built goes on at {offsets[at]}:"
                    f" messages were deleted before they were folded: {ANEW}"
                )
    return offsets


def missed(first: Offsets, live_first: Offsets, live_next: Offsets, remade: frozenset[str]) -> Offsets:
    """How many messages a live view is folded from that are before `first`, by partition; none left out.

    remade: topics of which all that the live view is folded from is gone.
    """
    lost = Offsets()
    for at, begin in live_first.items():
        end = live_next[at]
        there = end if at[0] in remade else min(first.get(at, end), end)
        if there > begin:
            lost[at] = there - begin
    return lost


def told(lost: Offsets) -> str:
    """Lost messages in words."""
    each = ", ".join(
        f"{count:,} of {topic}[{partition}]" for (topic, partition), count in sorted(lost.items())
    )
    return (
        f"the log no longer holds {sum(lost.values()):,} messages that the live view is folded from ({each}):"
        " a view that is rebuilt would not have what they said"
    )


def _marks(log: Consumer, at: tuple[str, int]) -> tuple[int, int]:
    """The offsets of a partition's first message and behind its last. Raises KafkaException."""
    low, high = log.get_watermark_offsets(TopicPartition(*at), timeout=partitions.WAIT_S)
    return low, high
