"""A key's home is where every client puts it, and what came elsewhere is found."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from aiokafka.partitioner import DefaultPartitioner

from streams.errors import InvalidRecord
from streams.home import home, strays
from streams.records import key_of
from streams.topics import TOPICS, UPLOADED
from streams.views import Keys, keys
from tests.examples import batch, detected, failed, message, retried, uploaded


@pytest.mark.parametrize("partitions", [1, 4, 12, 1000])
def test_a_key_is_at_home_where_kafkas_clients_put_it(partitions: int) -> None:
    ids = [uuid4() for _ in range(500)]
    places = list(range(partitions))
    expected = [DefaultPartitioner()(key_of(uploaded(image_id=i)), places, places) for i in ids]
    assert home(np.frombuffer(b"".join(i.bytes for i in ids), "V16"), partitions).tolist() == expected


def test_what_came_elsewhere_is_astray() -> None:
    counts = {topic.name: 4 + number for number, topic in enumerate(TOPICS)}
    records = [
        make(**{name: uuid4()})
        for make, name in ((uploaded, "image_id"), (detected, "image_id"), (failed, "dead_letter_id"),
                           (failed, "image_id"), (retried, "dead_letter_id"))
        for _ in range(20)
    ]  # fmt: skip
    log = [message(record) for record in records]
    at_home, away = [], []
    for one in log:
        count = counts[one.topic]
        places = list(range(count))
        assert not isinstance(one.record, InvalidRecord)
        own = DefaultPartitioner()(key_of(one.record), places, places)
        at_home.append(message(one.record, partition=own))
        away.append(message(one.record, partition=(own + 1) % count))
    assert strays(batch(at_home), counts) == Keys()
    assert strays(batch(away), counts) == keys(batch(away))
    mixed = strays(batch([*at_home[:30], *away[30:]]), counts)
    assert mixed == keys(batch(away[30:]))


def test_a_dead_letter_that_the_fold_makes_is_never_astray() -> None:
    counts = {topic.name: 4 for topic in TOPICS}
    log = [message(InvalidRecord("no record"), UPLOADED, partition=p) for p in range(4)]
    assert strays(batch(log), counts) == Keys()
