"""What `circles status` says of positions, without a log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.lag import Report, Stage, notes, sentence, span
from streams.progress import Position
from streams.standing import as_object
from streams.topics import DETECTED, FAILED, UPLOADED

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
COMMITTED = NOW - timedelta(seconds=1)


def position(done: int, end: int, waits_s: float | None = None, **more: Any) -> Position:
    since = None if waits_s is None else NOW - timedelta(seconds=waits_s)
    facts: dict[str, Any] = {"topic": UPLOADED.name, "partition": 0, "begin": 0} | more
    return Position(end=end, done=done, since=since, **facts)


def report(
    detect: list[Position],
    materialize: list[Position],
    members: int | None = 1,
    watermarks: dict[int, int] | None = None,
    last_commit: datetime | None = COMMITTED,
) -> Report:
    return Report(
        NOW,
        Stage("detect", "image", "circles.detect", members, detect),
        Stage("materialize", "message", "circles.view", None, materialize),
        watermarks or {},
        last_commit,
    )


DONE = position(9, 9)


def test_nothing_waits() -> None:
    quiet = report([DONE], [DONE], watermarks={0: 9})
    assert sentence(quiet) == "nothing waits"
    assert list(notes(quiet)) == []


def test_the_stage_whose_oldest_message_is_older_comes_first() -> None:
    behind = [position(1, 1001, 3, partition=1), position(0, 204, 14)]
    assert sentence(report(behind, [DONE])) == "detect is behind: 1,204 images, the oldest waits 14 s"
    assert sentence(report([position(8, 9, 0.31)], [position(8, 9, 400)])) == (
        "materialize is behind: 1 message, the oldest waits 7 min;"
        " detect is behind: 1 image, the oldest waits 0.3 s"
    )
    assert sentence(report([position(8, 9)], [DONE])) == "detect is behind: 1 image"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"),
        (0.44, "0.4 s"),
        (14.2, "14 s"),
        (300, "5 min"),
        (11_520, "3.2 h"),
        (216_000, "2.5 days"),
    ],
)
def test_a_time_is_one_number(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_a_stage_without_members_does_not_run() -> None:
    assert list(notes(report([DONE], [DONE], members=0))) == [
        "detect does not run: the consumer group circles.detect has no members"
    ]


def test_a_view_that_is_not_there_is_named() -> None:
    (note,) = notes(report([DONE], [position(0, 9, 100)], last_commit=None))
    assert note.startswith("there is no view yet")


@pytest.mark.parametrize(
    ("waits_s", "committed_s_ago", "said"),
    [(60, 61, True), (60, 59, False), (4, 61, False)],
    ids=["nothing since", "something since", "only now"],
)
def test_a_view_that_commits_nothing_does_not_advance(
    waits_s: float, committed_s_ago: float, said: bool
) -> None:
    waiting = report([DONE], [position(8, 9, waits_s)], last_commit=NOW - timedelta(seconds=committed_s_ago))
    expected = (
        "materialize does not advance: the view's last commit was 61 s ago, before the oldest message"
        " came that waits"
    )
    assert list(notes(waiting)) == [expected] * said


def test_positions_that_are_not_of_this_log_are_named() -> None:
    gone = report([DONE], [position(3, 9, begin=5), position(12, 9, topic=FAILED.name)])
    assert list(notes(gone)) == [
        "images.uploaded[0] begins at 5, but materialize goes on at 3:"
        " messages were deleted before they were done",
        "images.failed[0] ends at 9, but materialize goes on at 12: the topic was deleted and made anew",
    ]
    assert gone.materialize.lag == 4


def test_an_upload_that_detect_has_passed_without_an_outcome_is_named() -> None:
    outcomes = position(5, 5, topic=DETECTED.name)
    passed = report([position(8, 9)], [position(9, 9), outcomes], watermarks={0: 7})
    (note,) = notes(passed)
    assert note.startswith("images.uploaded[0] has an upload at 7 with neither detection nor dead letter")
    on_their_way = position(5, 6, 0.1, topic=DETECTED.name)
    assert list(notes(report([position(8, 9)], [position(9, 9), on_their_way], watermarks={0: 7}))) == []
    assert list(notes(report([position(7, 9)], [position(9, 9), outcomes], watermarks={0: 7}))) == []
    assert list(notes(report([position(8, 9)], [position(7, 9), outcomes], watermarks={0: 7}))) == []


def test_the_object_has_each_number_by_stage_topic_and_partition() -> None:
    uploads = [position(6, 9, 2.5), position(4, 4, partition=1)]
    found = as_object(
        report([DONE], [*uploads, position(1, 2, topic=FAILED.name)], watermarks={0: 5, 1: 4}), ["said"]
    )
    assert (found["said"], [stage["stage"] for stage in found["stages"]]) == (
        ["said"],
        ["detect", "materialize"],
    )
    view = found["stages"][1]
    topics = view.pop("topics")
    assert view == {
        "stage": "materialize", "group": "circles.view", "members": None,
        "log_end": 15, "done": 11, "lag": 4, "oldest_waits_s": 2.5,
    }  # fmt: skip
    (of_uploads, of_failed) = topics
    assert (of_uploads["topic"], of_uploads["watermark"], of_uploads["lag"]) == (UPLOADED.name, 9, 3)
    assert of_uploads["partitions"][1] == {
        "partition": 1, "log_begin": 0, "log_end": 4, "done": 4, "watermark": 4,
        "lag": 0, "oldest_waits_s": 0,
    }  # fmt: skip
    assert "watermark" not in of_failed
    assert of_failed["oldest_waits_s"] is None
