"""Arbitrary records and logs for the laws."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, get_args
from uuid import UUID

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, settings

from streams.circles import CIRCLE, Circles
from streams.errors import InvalidRecord
from streams.records import (
    CONTENT_TYPES,
    CirclesDetected,
    DeadLetterRetried,
    ImageFailed,
    ImageUploaded,
    Record,
)
from streams.reevaluation import (
    DrawnAs,
    ImageAnnotated,
    ImageNotReplayed,
    ModelPromoted,
    ReplayChanged,
    ReplayRequested,
    State,
)
from streams.topics import ANNOTATED, DETECTED, FAILED, PROMOTED, REPLAYS, TOPICS, UPLOADED, Topic
from streams.version import spelled
from streams.views import Message
from tests.examples import (
    annotated,
    circles,
    detected,
    failed,
    message,
    not_replayed,
    promoted,
    replay,
    replay_changed,
    retried,
    uploaded,
)

law = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
"""How often a law is tried; no deadline, as other work on the machine is no failure."""

UUIDS = st.uuids()
INTS = st.integers(0, 2**31 - 1)
LONGS = st.integers(0, 2**63 - 1)
TEXT = st.text(max_size=12)
ATTRIBUTE = TEXT.filter(lambda text: "\0" not in text)
BYTES = st.none() | st.binary(max_size=12)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 bounds
LOWS = st.floats(-(2.0**100), 2.0**100, width=32)
SIZES = st.floats(1, 2.0**60, width=32)


@st.composite
def circle_blocks(draw: st.DrawFn) -> Circles:
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        low, high = sorted(draw(st.lists(LOWS, min_size=2, max_size=2, unique=True)))
        object_id = draw(st.binary(min_size=16, max_size=16))
        radius, score = draw(SIZES), draw(st.floats(0, 1, width=32))
        rows.append((object_id, low, high, radius, score, low, low, high, high))
    return np.array(rows, CIRCLE)


UPLOADS = st.builds(
    ImageUploaded,
    event_id=UUIDS,
    image_id=UUIDS,
    project_id=TEXT,
    source_id=TEXT,
    uri=TEXT,
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    content_type=st.sampled_from(CONTENT_TYPES),
    width=INTS.filter(bool),
    height=INTS.filter(bool),
    size_bytes=LONGS.filter(bool),
    captured_at=st.none() | TIMES,
    uploaded_at=TIMES,
    attributes=st.dictionaries(TEXT, TEXT, max_size=3),
)


DETECTIONS = st.builds(
    CirclesDetected,
    event_id=UUIDS,
    image_id=UUIDS,
    project_id=TEXT,
    model_name=st.sampled_from(["circles", "other"]),
    model_version=st.sampled_from(["1", "2"]),
    latency_ms=st.floats(0, 2.0**20, width=32),
    detected_at=TIMES,
    source_partition=INTS,
    source_offset=LONGS,
    replay_id=st.none() | UUIDS,
    circles=circle_blocks(),
)


FAILURES = st.builds(
    ImageFailed,
    dead_letter_id=UUIDS,
    image_id=st.none() | UUIDS,
    project_id=TEXT,
    stage=TEXT,
    error=TEXT,
    reason=TEXT,
    source_topic=TEXT,
    source_partition=INTS,
    source_offset=LONGS,
    key=BYTES,
    value=BYTES,
    headers=st.lists(st.tuples(TEXT, BYTES), max_size=3).map(tuple),
    failed_at=TIMES,
)


RETRIES = st.builds(
    DeadLetterRetried,
    dead_letter_id=UUIDS,
    image_id=st.none() | UUIDS,
    retried_at=TIMES,
)


ANNOTATIONS = st.builds(
    ImageAnnotated,
    annotation_id=UUIDS,
    image_id=UUIDS,
    project_id=TEXT,
    annotator=TEXT,
    annotated_at=TIMES,
    model_name=st.none() | TEXT,
    model_version=st.none() | TEXT,
    drawn_as=st.sampled_from(get_args(DrawnAs)),
    circles=circle_blocks(),
)


MODEL_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True)
PIXELS = st.floats(0, 1e6)
PARAMETERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "label": st.from_regex(r"[A-Za-z0-9_.-]{1,9}", fullmatch=True),
        "min_score": st.floats(0, 1),
        "min_radius": PIXELS,
        "max_radius": PIXELS,
    },
)
PARAMETERS = PARAMETERS.filter(lambda p: p.get("min_radius", 0) <= p.get("max_radius", 1e6))
BARE_VERSIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,9}", fullmatch=True).filter(
    lambda bare: not bare.endswith(("+label", "+min_score", "+min_radius", "+max_radius"))
)
VERSIONS = st.builds(spelled, BARE_VERSIONS, PARAMETERS)


@st.composite
def replays(draw: st.DrawFn) -> ReplayRequested:
    ranges = [sorted(pair) for pair in draw(st.lists(st.tuples(LONGS, LONGS), max_size=3))]
    follow = draw(st.booleans())
    of_an_end: dict[str, Any] = {
        "until": draw(st.none() | TIMES),
        "images": draw(st.none() | st.lists(UUIDS, min_size=1, max_size=3).map(tuple)),
        "sample": draw(st.none() | LONGS.filter(bool)),
        "annotated": draw(st.booleans()),
    }
    return ReplayRequested(
        **({} if follow else of_an_end),
        follow=follow,
        share=draw(st.none() | st.floats(0, 1, exclude_min=True)),
        replay_id=draw(UUIDS),
        model_name=draw(MODEL_NAMES),
        model_version=draw(VERSIONS),
        project_id=draw(st.none() | TEXT),
        source_id=draw(st.none() | TEXT),
        since=draw(st.none() | TIMES),
        calls_at_once=draw(st.integers(1, 256)),
        begins=tuple(begin for begin, _ in ranges),
        ends=tuple(end for _, end in ranges),
        requested_by=draw(TEXT),
        requested_at=draw(TIMES),
    )


REPLAY_CHANGES = st.builds(
    ReplayChanged,
    change_id=UUIDS,
    replay_id=UUIDS,
    state=st.sampled_from(get_args(State)),
    changed_by=TEXT,
    changed_at=TIMES,
)


NOT_REPLAYED = st.builds(
    ImageNotReplayed,
    event_id=UUIDS,
    replay_id=UUIDS,
    image_id=UUIDS,
    error=TEXT,
    reason=TEXT,
    source_partition=INTS,
    source_offset=LONGS,
    failed_at=TIMES,
)


PROMOTIONS = st.builds(
    ModelPromoted,
    promotion_id=UUIDS,
    model_name=MODEL_NAMES,
    model_version=VERSIONS,
    previous_name=TEXT,
    previous_version=TEXT,
    back=st.booleans(),
    evidence=TEXT,
    promoted_by=TEXT,
    promoted_at=TIMES,
)


RECORDS: st.SearchStrategy[Record] = st.one_of(
    UPLOADS, DETECTIONS, FAILURES, RETRIES, ANNOTATIONS, replays(), REPLAY_CHANGES, NOT_REPLAYED, PROMOTIONS
)

FEW = st.integers(0, 2)
"""So few keys that a log has many messages of one."""


@st.composite
def contents(draw: st.DrawFn) -> tuple[Record | InvalidRecord, Topic]:
    """What a message holds, and its topic; messages of one key differ."""
    kind, key, nonce = draw(st.sampled_from("udfraxcnpi")), UUID(int=draw(FEW)), draw(FEW)
    match kind:
        case "u":
            return uploaded(image_id=key, source_id=str(nonce)), UPLOADED
        case "d":
            version = str(draw(st.integers(1, 2)))
            return detected(image_id=key, model_version=version, circles=circles(nonce)), DETECTED
        case "f":
            return failed(dead_letter_id=key, reason=str(nonce)), FAILED
        case "r":
            return retried(dead_letter_id=key, image_id=UUID(int=nonce)), FAILED
        case "a":
            return annotated(annotation_id=key, annotator=str(nonce), circles=circles(nonce)), ANNOTATED
        case "x":
            return replay(replay_id=key, requested_by=str(nonce)), REPLAYS
        case "c":
            return replay_changed(change_id=key, changed_by=str(nonce)), REPLAYS
        case "n":
            return not_replayed(event_id=key, reason=str(nonce)), REPLAYS
        case "p":
            return promoted(promotion_id=key, evidence=str(nonce)), PROMOTED
        case _:
            return InvalidRecord(str(nonce)), draw(st.sampled_from(TOPICS))


@st.composite
def logs(draw: st.DrawFn) -> list[Message]:
    """Messages of all topics as a consumer meets them: keys repeat, and some messages come again."""
    log: list[Message] = []
    for offset, (record, topic) in enumerate(draw(st.lists(contents(), max_size=12))):
        log.append(message(record, topic, partition=draw(FEW), offset=offset))
    for _ in range(draw(FEW) if log else 0):  # a redelivery: the same message, later
        log.append(draw(st.sampled_from(log)))
    return log


@st.composite
def batches(draw: st.DrawFn, log: list[Message]) -> list[list[Message]]:
    """Any cut of a log."""
    cuts = sorted(draw(st.sets(st.integers(0, len(log)))) | {0, len(log)})
    return [log[start:end] for start, end in pairwise(cuts)]
