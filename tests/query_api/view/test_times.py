"""Looking back over the times of upload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from query_api.view.times import FURTHER, NEAR, STEP, Times

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: int) -> datetime:
    return BEGIN + timedelta(seconds=second)


def test_it_looks_further_back_each_time() -> None:
    times = Times()
    times.load(at(n) for n in range(100))
    assert list(times.back(None)) == [at(100 - NEAR), at(100 - NEAR * FURTHER)]
    assert list(times.back(at(50))) == [at(50 - NEAR)]
    assert list(times.back(at(3))) == []


def test_images_that_come_are_counted_and_those_that_leave_are_forgotten() -> None:
    times = Times()
    for n in range(10):
        times.add(STEP // 2, at(n))
    assert list(times.back(None)) == [at(3)]
    times.drop(at(5))
    assert list(times.back(None)) == []


@given(st.lists(st.integers(0, 1000)), st.integers(0, 1000))
def test_what_it_looks_back_to_is_before_what_was_asked(seconds: list[int], until: int) -> None:
    times = Times()
    for second in seconds:
        times.add(STEP, at(second))
    found = list(times.back(at(until)))
    assert all(time <= at(until) for time in found)
    assert found == sorted(found, reverse=True)
