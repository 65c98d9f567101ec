"""Watermarks on the real lake, kept in its catalog, and over the real stages."""

from __future__ import annotations

from uuid import UUID

import pytest

from streams import dead_letters, lake, watermarks
from streams.commit import View
from streams.ledger import Offsets
from streams.settings import Settings
from streams.topics import DETECTED, FAILED, UPLOADED
from streams.views import Message
from tests.examples import batch, detected, failed, message
from tests.integration.conftest import Fresh
from tests.integration.flow import ledger, produce, query, stages, uploaded, wait_until

START: Offsets = {(UPLOADED.name, 0): 0, (UPLOADED.name, 1): 7, (DETECTED.name, 0): 0, (FAILED.name, 0): 0}


@pytest.fixture
def settings(fresh: Fresh) -> Settings:
    settings = fresh()
    with ledger(settings) as offsets:
        offsets.add(START)
    return settings


def current(settings: Settings) -> watermarks.Watermarks:
    with lake.connect(settings, read_only=True) as view, ledger(settings) as offsets:
        return watermarks.current(view, offsets)


def known(settings: Settings) -> watermarks.Watermarks:
    with lake.catalog(settings) as catalog:
        return dict(catalog.execute("SELECT partition, watermark FROM circles.watermarks").fetchall())


def folded(view: View, log: list[Message], at: Offsets) -> Offsets:
    return at | view.commit(batch(log), at, {(sent.topic, sent.partition): sent.offset + 1 for sent in log})


def image(number: int) -> UUID:
    return UUID(int=number)


def test_a_watermark_follows_the_outcomes_and_is_kept(settings: Settings) -> None:
    assert current(settings) == {0: 0, 1: 7}
    log = [message(uploaded(image_id=image(n)), offset=n) for n in range(3)]
    log.append(message(uploaded(image_id=image(9)), partition=1, offset=9))
    with lake.connect(settings, read_only=False) as connection, ledger(settings) as offsets:
        view = View(connection, offsets, shared=False)
        at = folded(view, log, START)
        assert current(settings) == {0: 0, 1: 9}
        at = folded(view, [message(detected(image_id=image(n)), offset=n) for n in (0, 2)], at)
        assert current(settings) == known(settings) == {0: 1, 1: 9}
        folded(view, [message(failed(image_id=image(n)), offset=n) for n in (1, 9)], at)
    assert known(settings) == {0: 1, 1: 9}
    with lake.catalog(settings) as catalog:
        catalog.execute("DELETE FROM circles.watermarks WHERE partition = 1")  # a view of an earlier version
    assert current(settings) == known(settings) == {0: 3, 1: 9}


def test_a_watermark_is_never_lowered_by_one_that_was_found_before(settings: Settings) -> None:
    assert current(settings) == {0: 0, 1: 7}
    with ledger(settings) as offsets:
        for found in (5, 4):
            offsets.raise_watermarks({0: found})
    assert known(settings) == {0: 5, 1: 7}


def test_every_upload_of_a_running_stack_is_passed_also_what_cannot_be_read(fresh: Fresh) -> None:
    settings = fresh(mode="dummy")
    with stages(settings, "worker", "materializer"):
        produce(settings, UPLOADED, *(uploaded() for _ in range(20)), b"not for the agent")
        wait_until(lambda: len(dead_letters.find(settings)) == 21)  # there are no such objects
        wait_until(lambda: sum(dict(query(settings, ENDS)).values()) == 21)
        ends = dict(query(settings, ENDS))
        wait_until(lambda: current(settings) == ends)
        dead_letters.retry(settings, dead_letters.find(settings))
        wait_until(lambda: sum(current(settings).values()) == 42)


ENDS = f"""SELECT "partition", next_offset FROM memory.main.offsets
           WHERE topic = '{UPLOADED.name}'"""  # noqa: S608 our name
