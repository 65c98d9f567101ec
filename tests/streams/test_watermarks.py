"""The watermark is what a look at every message of the log gives, however it was folded and asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from uuid import UUID, uuid4

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from streams.errors import InvalidRecord
from streams.recent import Recent
from streams.records import CirclesDetected, ImageFailed, ImageUploaded, Record
from streams.topics import DETECTED, FAILED, UPLOADED, Topic
from streams.views import Keys, Message, keys
from streams.watermarks import Watermarks, moved
from tests.examples import batch, circles, detected, failed, message, retried, uploaded
from tests.streams.strategies import FEW, batches, law
from tests.streams.test_insert import empty_view, insert

PARTITIONS = range(3)


def placed(log: list[Message]) -> list[Message]:
    """Messages with the offsets that they get in their order, some apart as after a transaction."""
    ends: Counter[tuple[str, int]] = Counter()
    found = []
    for sent in log:
        ends[sent.topic, sent.partition] += sent.offset  # drawn: how many offsets are left out before it
        found.append(replace(sent, offset=ends[sent.topic, sent.partition]))
        ends[sent.topic, sent.partition] += 1
    return found


@st.composite
def logs(draw: st.DrawFn) -> list[Message]:
    """Uploads, copies on any partition, bytes that are none, and outcomes, before or after their upload."""
    log = []
    for kind in draw(st.lists(st.sampled_from("uuuuxddffplr"), min_size=6, max_size=24)):
        image = UUID(int=draw(st.integers(1, 4)))
        letter = failed(
            dead_letter_id=draw(st.uuids()),
            image_id=image if kind == "f" else None,
            source_topic=draw(st.sampled_from([UPLOADED.name, UPLOADED.name, DETECTED.name])),
            source_partition=draw(FEW),
            source_offset=draw(st.integers(0, 8)),
        )
        contents: dict[str, tuple[Record | InvalidRecord, Topic]] = {
            "u": (uploaded(image_id=image), UPLOADED),
            "x": (InvalidRecord("no framing"), UPLOADED),
            "d": (detected(image_id=image, circles=circles(0), model_version=str(draw(FEW))), DETECTED),
            "f": (letter, FAILED),
            "p": (letter, FAILED),
            "l": (InvalidRecord("no framing"), DETECTED),
            "r": (retried(dead_letter_id=draw(st.uuids()), image_id=image), FAILED),
        }
        record, topic = contents[kind]
        gap = draw(st.sampled_from([0, 0, 0, 1, 40]))
        key = str(image).encode() if kind == "l" else None
        log.append(message(record, topic, partition=draw(FEW), offset=gap, key=key))
    return placed(log)


def folded(log: list[Message]) -> Watermarks:
    """How far the uploads are folded once all of these are."""
    return {p: max([m.offset + 1 for m in log if at(m, p)], default=0) for p in PARTITIONS}


def at(sent: Message, partition: int) -> bool:
    return sent.topic == UPLOADED.name and sent.partition == partition


def recomputed(log: list[Message]) -> Watermarks:
    """The law itself: a look at every message."""
    images, places = set(), set()
    for sent in log:
        if isinstance(record := sent.record, CirclesDetected | ImageFailed):
            images.add(record.image_id)
        if isinstance(record, ImageFailed) and record.source_topic == UPLOADED.name:
            places.add((record.source_partition, record.source_offset))
        if isinstance(record, InvalidRecord) and sent.topic == DETECTED.name:
            images.add(UUID((sent.key or b"").decode()))

    def resolved(sent: Message) -> bool:
        if isinstance(sent.record, ImageUploaded):
            return sent.record.image_id in images
        return (sent.partition, sent.offset) in places

    ends = folded(log)
    return {
        p: min([m.offset for m in log if at(m, p) and not resolved(m)], default=ends[p]) for p in PARTITIONS
    }


def asked(
    view: duckdb.DuckDBPyConnection, known: Watermarks, ends: Watermarks, most: tuple[int, int] = (1, 9)
) -> Watermarks:
    now = dict(known)
    for found in moved(view, known, ends, most):
        assert all(found[p] >= now[p] for p in found)
        now |= found
    return now


@settings(law, max_examples=60)
@given(logs(), st.data())
def test_any_cut_gives_the_watermarks_of_a_look_at_the_whole_log(
    log: list[Message], data: st.DataObject
) -> None:
    so_far: list[Message] = []
    known = dict.fromkeys(PARTITIONS, 0)
    with empty_view() as view:
        for part in data.draw(batches(log)):
            insert(view, Recent(view, most=2).known(view, keys(batch(part)), Keys()), batch(part))
            so_far += part
            if data.draw(st.booleans()):
                most = (data.draw(st.integers(1, 5)), data.draw(st.integers(5, 50)))
                known = asked(view, known, folded(so_far), most)
                assert known == recomputed(so_far)
        assert asked(view, known, folded(log)) == recomputed(log)
        assert asked(view, dict.fromkeys(PARTITIONS, 0), folded(log)) == recomputed(log)


NAMED = message(failed(image_id=uploaded().image_id))


def place(partition: int, offset: int) -> Message:
    """The dead letter of an upload there, without an image."""
    return message(failed(dead_letter_id=uuid4(), source_partition=partition, source_offset=offset))


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], 0),
        ([message(detected())], 2),
        ([message(detected(model_version="7"))], 2),
        ([NAMED], 2),
        ([NAMED, message(retried(image_id=uploaded().image_id))], 2),
        ([message(InvalidRecord("no framing"), DETECTED, key=str(uploaded().image_id).encode())], 2),
        ([message(detected()), place(1, 2)], 2),
        ([message(detected()), place(0, 2)], 4),
        ([place(0, 0), place(0, 2)], 0),
    ],
    ids=[
        "nothing", "detected", "another version", "failed", "retried", "unreadable detection",
        "another place", "everything", "places alone",
    ],
)  # fmt: skip
def test_what_resolves_an_upload(outcomes: list[Message], expected: int) -> None:
    """An image at 0 and its copy at 1, something unreadable at 2, another copy at 3."""
    log = [message(uploaded(), offset=offset) for offset in (0, 1, 3)]
    log.insert(2, message(InvalidRecord("no framing"), UPLOADED, offset=2))
    with empty_view() as view:
        insert(view, Recent(view).known(view, keys(batch(log + outcomes)), Keys()), batch(log + outcomes))
        assert asked(view, {0: 0}, {0: 4}) == {0: expected}


def test_a_copy_on_another_partition_waits_with_its_image() -> None:
    log = [message(uploaded(), offset=0), message(uploaded(), partition=1, offset=9)]
    with empty_view() as view:
        insert(view, Recent(view).known(view, keys(batch(log)), Keys()), batch(log))
        assert asked(view, {0: 0, 1: 0}, {0: 1, 1: 10}) == {0: 0, 1: 9}


def test_no_more_is_looked_at_than_up_to_the_first_unresolved() -> None:
    with empty_view() as view:
        log = [
            message(uploaded(), offset=2),
            message(uploaded(image_id=UUID(int=9)), partition=1, offset=500),
        ]
        insert(view, Recent(view).known(view, keys(batch(log)), Keys()), batch(log))
        looks = list(moved(view, {0: 0, 1: 400}, {0: 1_000_000, 1: 1_000_000}, (10, 100)))
    assert looks == [{0: 2}, {1: 440}, {1: 500}]
