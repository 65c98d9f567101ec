"""Detections decoded by the batch are those that the codec decodes one by one, whatever the bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from streams.codec import Codec
from streams.detections import Detections
from streams.errors import InvalidRecord
from streams.records import CirclesDetected
from tests.examples import CODEC, detected, uploaded
from tests.streams.strategies import DETECTIONS, law
from tests.streams.test_codec_fuzz import damaged
from tests.streams.test_codec_registry import registry

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def columns(found: Detections) -> list[dict[str, Any]]:
    """What was found, detection by detection."""
    ends = np.cumsum(found.count)
    names = ("project_id", "model_name", "model_version")
    texts = {name: getattr(found, name).array().to_pylist() for name in names}
    return [
        {
            "image_id": bytes(found.image_id[i]),
            **{name: values[i] for name, values in texts.items()},
            "latency_ms": np.float32(found.latency_ms[i]).tobytes(),
            "detected_at": int(found.detected_at[i]),
            "source": (int(found.source_partition[i]), int(found.source_offset[i])),
            "replay_id": bytes(found.replay_id[i]) if found.replayed[i] else None,
            "circles": found.circles[ends[i] - found.count[i] : ends[i]].tobytes(),
        }
        for i in range(len(found.count))
    ]


def column(record: CirclesDetected) -> dict[str, Any]:
    return {
        "image_id": record.image_id.bytes,
        "project_id": record.project_id,
        "model_name": record.model_name,
        "model_version": record.model_version,
        "latency_ms": np.float32(record.latency_ms).tobytes(),
        "detected_at": (record.detected_at - EPOCH) // timedelta(microseconds=1),
        "source": (record.source_partition, record.source_offset),
        "replay_id": record.replay_id and record.replay_id.bytes,
        "circles": record.circles.tobytes(),
    }


def agree(values: list[bytes | None], codec: Codec = CODEC) -> None:
    """Decode the batch and its messages one by one, and compare."""
    expected, reasons = [], {}
    for index, value in enumerate(values):
        try:
            record = codec.decode(value, (CirclesDetected,))
        except InvalidRecord as error:
            reasons[index] = str(error)
        else:
            assert isinstance(record, CirclesDetected)
            expected.append(column(record))
    found, wrong = codec.detections(values)
    assert columns(found) == expected
    assert {index: str(error) for index, error in wrong.items()} == reasons


@law
@given(st.lists(DETECTIONS, max_size=5))
def test_a_batch_of_records_is_its_records(records: list[CirclesDetected]) -> None:
    found, wrong = CODEC.detections([CODEC.encode(record) for record in records])
    assert columns(found) == [column(record) for record in records]
    assert not wrong


@law
@given(st.lists(damaged() | st.none() | st.binary(max_size=40) | DETECTIONS.map(CODEC.encode), max_size=6))
def test_damage_is_found_where_it_is_and_nowhere_else(values: list[bytes | None]) -> None:
    agree(values)


def test_a_message_cut_short_at_any_byte_is_wrong_alone() -> None:
    whole = CODEC.encode(detected())
    for end in range(len(whole)):
        agree([whole, whole[:end], whole])


def test_what_others_lay_out_differently_is_read_all_the_same() -> None:
    record = detected(project_id="Z\u00fcrich")
    ours, image_id = CODEC.encode(record), str(record.image_id).encode()
    others = {
        "capital digits": ours.replace(image_id, image_id.upper()),
        "no dashes": ours.replace(b"H" + image_id, b"@" + record.image_id.hex.encode()),
        "a length of two bytes": ours.replace(b"\x0ecircles", b"\x8e\x00circles"),
        "a block for each circle": ours[: -len(record.circles.tobytes()) - 2]
        + b"".join(b"\x02" + circle.tobytes() for circle in record.circles)
        + b"\0",
    }
    assert len({ours, *others.values()}) == 5
    for other in others.values():
        found, wrong = CODEC.detections([ours, other])
        assert columns(found) == [column(record)] * 2
        assert not wrong


def test_each_message_of_a_registry_is_read() -> None:
    codec = Codec(registry())
    records = [detected(source_offset=offset) for offset in range(3)]
    values = [codec.encode(records[0]), CODEC.encode(records[1]), codec.encode(records[2])]
    for _ in range(2):  # the registry's id is not known at first
        found, wrong = codec.detections(values)
        assert columns(found) == [column(record) for record in records]
        assert not wrong


def test_another_topics_record_is_wrong_here() -> None:
    agree([CODEC.encode(detected()), CODEC.encode(uploaded()), None])
