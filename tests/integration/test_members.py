"""Several materializers share the log: each row is there once, whoever folds what and whoever dies."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from os import kill
from signal import SIGCONT, SIGKILL, SIGSTOP
from uuid import UUID

import numpy as np
import pytest
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

from streams import lake
from streams.commit import View
from streams.home import home
from streams.ledger import Ledger, Offsets
from streams.records import ImageUploaded
from streams.settings import Settings
from streams.topics import TOPICS, UPLOADED, VIEW_GROUP
from tests.examples import batch, message
from tests.integration.conftest import Fresh
from tests.integration.flow import ledger, produce, query, stages, uploaded, wait_until

PARTITIONS = 4
EVERY = PARTITIONS * len(TOPICS)


class Member:
    """A writer of one partition of the uploads, beside others."""

    def __init__(self, view: View, partition: int) -> None:
        self.view, self.partition, self.offset = view, partition, 0

    def fold(self, *records: ImageUploaded) -> None:
        """Commit uploads that come on its partition."""
        log = [
            message(record, partition=self.partition, offset=self.offset + number)
            for number, record in enumerate(records)
        ]
        at = UPLOADED.name, self.partition
        behind = self.view.commit(batch(log), {at: self.offset}, {at: self.offset + len(log)})
        self.offset = behind[at]


@contextmanager
def members(settings: Settings, *partitions: int) -> Iterator[list[Member]]:
    with ExitStack() as stack:
        own = [stack.enter_context(ledger(settings)) for _ in partitions]
        own[0].made_from({t.name: t.name for t in TOPICS}, {t.name: PARTITIONS for t in TOPICS})
        own[0].add({(UPLOADED.name, partition): 0 for partition in partitions})
        connections = [stack.enter_context(lake.connect(settings, read_only=False)) for _ in partitions]
        views = [View(c, led, shared=True) for c, led in zip(connections, own, strict=True)]
        yield [Member(view, partition) for view, partition in zip(views, partitions, strict=True)]


def at_home(partition: int) -> ImageUploaded:
    """An upload whose key belongs on a partition."""
    while True:
        record = uploaded()
        if home(np.frombuffer(record.image_id.bytes, "V16"), PARTITIONS)[0] == partition:
            return record


def image_ids(settings: Settings) -> Counter[UUID]:
    return Counter(row[0] for row in query(settings, "SELECT image_id FROM lake.images"))


def test_a_stray_key_is_found_whoever_comes_first(settings: Settings) -> None:
    first, second = at_home(0), at_home(0)
    with members(settings, 0, 1) as (own, other):
        own.fold(first)
        other.fold(first, at_home(1))
        other.fold(second)
        own.fold(second, at_home(0))
    assert set(image_ids(settings).values()) == {1}
    assert image_ids(settings).total() == 4


@pytest.mark.parametrize("stray_first", [False, True])
def test_a_stray_key_and_the_same_at_home_at_one_moment_are_one_row(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, stray_first: bool
) -> None:
    """One has looked for the key and is about to commit when the other does."""
    record = at_home(0)
    with members(settings, 0, 1) as (own, other):
        first, second = (other, own) if stray_first else (own, other)
        monkeypatch.setattr(Ledger, "wait_for_turns", lambda _: None)  # as if the turn were over
        advance, tries = Ledger.advance, 0

        def advance_late(*arguments: object, **more: object) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                first.fold(record)
            advance(*arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(Ledger, "advance", advance_late)
        second.fold(record, at_home(second.partition))
    assert tries > 2
    assert set(image_ids(settings).values()) == {1}
    assert image_ids(settings).total() == 2


def test_one_that_was_alone_and_slept_learns_that_it_is_not(settings: Settings) -> None:
    """It has a stray key in flight while another is given the key's home."""
    record = at_home(0)
    with members(settings, 1) as (asleep,):
        asleep.view = View(asleep.view._connection, asleep.view._ledger, shared=False)
        with members(settings, 0) as (other,):
            asleep.fold(record)
            other.fold(record, at_home(0))
    assert set(image_ids(settings).values()) == {1}
    assert image_ids(settings).total() == 2


@pytest.mark.parametrize("seed", range(3))
def test_copies_on_any_partition_at_any_moment_are_one_row(settings: Settings, seed: int) -> None:
    chance = random.Random(seed)
    records = [uploaded() for _ in range(60)]
    logs = [[chance.choice(records) for _ in range(80)] for _ in range(3)]
    with members(settings, 0, 1, 2) as writers:

        def fold_all(member: Member, log: list[ImageUploaded]) -> None:
            cuts = [0, *sorted(random.Random(member.partition).sample(range(1, len(log)), 9)), len(log)]
            for begin, end in pairwise(cuts):
                member.fold(*log[begin:end])

        with ThreadPoolExecutor() as threads:
            for done in [threads.submit(fold_all, *each) for each in zip(writers, logs, strict=True)]:
                done.result()
    assert image_ids(settings) == dict.fromkeys({r.image_id for log in logs for r in log}, 1)


def test_a_writer_that_sleeps_in_its_turn_holds_nobody_up_for_long(settings: Settings) -> None:
    with members(settings, 0, 1) as (own, _), ledger(settings) as asleep:
        turn = asleep.turn()
        turn.__enter__()
        own.fold(at_home(0))
        turn.__exit__(None, None, None)
    assert image_ids(settings).total() == 1


def folded(settings: Settings) -> Offsets:
    with ledger(settings) as offsets:
        return offsets.stored()


def shares(settings: Settings) -> list[int]:
    """How many partitions each member of the group has."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    (described,) = admin.describe_consumer_groups([VIEW_GROUP]).values()
    group: ConsumerGroupDescription = described.result()
    return sorted(len(member.assignment.topic_partitions) for member in group.members)


def test_two_materializers_share_the_log_and_hand_it_over(settings: Settings, fresh: Fresh) -> None:
    """On join, leave and death; with one that sleeps meanwhile and wakes."""
    second = settings.model_copy(
        update={"fold_member": "second", "data_dir": settings.data_dir / "2", "lake_url": settings.lake_path}
    )
    second.data_dir.mkdir()
    sent: list[ImageUploaded] = []

    def more() -> None:
        new = [uploaded() for _ in range(40)]
        produce(settings, UPLOADED, *new, *new[:5], *sent[:5])
        sent.extend(new)

    def all_there() -> bool:
        return image_ids(settings) == dict.fromkeys((r.image_id for r in sent), 1)

    with stages(settings, "materializer") as first:
        more()
        wait_until(all_there)
        with stages(second, "materializer") as other:
            wait_until(lambda: shares(settings) == [EVERY // 2] * 2)
            more()
            wait_until(all_there)
            kill(first.pids()["materializer"], SIGKILL)  # started again, under its name
            more()
            wait_until(all_there)
            asleep = other.pids()["materializer"]
            kill(asleep, SIGSTOP)
            more()
            wait_until(lambda: shares(settings) == [EVERY])
            wait_until(all_there)
            kill(asleep, SIGCONT)
            wait_until(lambda: shares(settings) == [EVERY // 2] * 2)
            more()
            wait_until(all_there)
        more()
        wait_until(all_there)
        wait_until(lambda: sum(folded(settings).values()) >= 6 * 50 - 5)  # the copies, too
    assert sum(folded(settings).values()) == 6 * 50 - 5


def test_a_member_that_slept_and_was_replaced_under_its_name_leaves(settings: Settings) -> None:
    same = settings.model_copy(update={"data_dir": settings.data_dir / "2", "lake_url": settings.lake_path})
    same.data_dir.mkdir()
    with stages(settings, "materializer") as first:
        asleep = first.pids()["materializer"]
        kill(asleep, SIGSTOP)
        with stages(same, "materializer"):
            produce(settings, UPLOADED, uploaded())
            wait_until(lambda: image_ids(settings).total() == 1)
            kill(asleep, SIGCONT)
            wait_until(lambda: first.pids().get("materializer") != asleep)
