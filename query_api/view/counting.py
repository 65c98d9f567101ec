"""Images counted by what became of them, and circles by what they measure, without a query."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from query_api.view.columns import NONE, Rows
from query_api.view.conditions import asked
from query_api.view.measures import Measures, of_rows, standing
from query_api.view.questions import Question
from query_api.view.timeline import EPOCH, MICROSECOND, Timeline

MOST_CELLS = 200_000
"""Groups, times bins, that are counted at once."""
AT_ONCE = 32_768
"""Circles whose bins are found together: few enough to stay near the processor."""
Numbers = NDArray[np.int64]
Label = Callable[[int], dict[str, Any]]
MINUTE = 60_000_000
STEPS = {"minute": MINUTE, "hour": 60 * MINUTE, "day": 24 * 60 * MINUTE, "week": 7 * 24 * 60 * MINUTE}
"""Microseconds."""
MONDAY = 4 * STEPS["day"]
"""The first of a week after 1970 began, which was a Thursday."""


class Groups(NamedTuple):
    """numbers: (n,) each row's group, below `many`, in the order of the answer; label: what a group has."""

    numbers: Numbers
    many: int
    label: Label


def counts(timeline: Timeline, question: Question, floor: datetime) -> list[dict[str, Any]] | None:
    """The rows that answer a question, of images uploaded at `floor` or later; None: that takes a query."""
    which = asked(question, floor)
    circles = question.query == "statistics_histogram"
    if which is None or question.every or not (circles or question.query == "statistics_images"):
        return None
    rows, measures = timeline.between(which.since, which.before)
    rows = rows.where(which.met(rows))
    if circles:
        rows = rows.where(standing(rows))
    if not len(rows) and (circles or question.bucket or question.by):
        return []
    groups = grouped(rows, question)
    if groups.many > MOST_CELLS:
        return None
    if not circles:
        return images(rows, groups, question.count)
    if groups.many > 1:
        groups = groups._replace(numbers=np.repeat(groups.numbers, rows["many"]))
    values = of_rows(measures[question.parts["value"]], rows)
    return bins(values, question.values["width"], groups, question.count)


def grouped(rows: Rows, question: Question) -> Groups:
    """Rows by their bucket, if any, then by their words."""
    groups = Groups(np.zeros(len(rows), np.int64), 1, lambda _: {})
    if question.bucket:
        groups = bucketed(rows, question.bucket)
    if not question.by:
        return groups
    column = question.by[0].partition("_")[0]  # source_id, project_id, or model_name with model_version
    numbers = rows[column] - NONE
    there = np.flatnonzero(np.bincount(numbers)) + NONE
    names = {n: rows.words.words[n] if n != NONE else (None, None) for n in there.tolist()}
    order = sorted(names, key=lambda n: (n == NONE, names[n]))  # as in SQL, what is missing comes last
    place_of = np.zeros(numbers.max() + 1, np.int64)
    place_of[np.array(order) - NONE] = np.arange(len(order))
    columns = len(order)

    def label(number: int) -> dict[str, Any]:
        name = names[order[number % columns]]
        of_column = zip(question.by, name if column == "model" else (name,), strict=True)
        return groups.label(number // columns) | dict(of_column)

    return Groups(groups.numbers * columns + place_of[numbers], groups.many * columns, label)


def bucketed(rows: Rows, bucket: str) -> Groups:
    """Rows by the time of their upload, in UTC."""
    times = rows["uploaded"]
    if bucket == "month":
        numbers = times.astype("M8[us]").astype("M8[M]").astype(np.int64)
    else:
        numbers = (times - (MONDAY if bucket == "week" else 0)) // STEPS[bucket]
    first = int(numbers.min())

    def label(number: int) -> dict[str, Any]:
        if bucket == "month":
            years, months = divmod(first + number, 12)
            return {"bucket": datetime(1970 + years, months + 1, 1, tzinfo=UTC)}
        micros = (first + number) * STEPS[bucket] + (MONDAY if bucket == "week" else 0)
        return {"bucket": EPOCH + micros * MICROSECOND}

    return Groups(numbers - first, int(numbers.max()) - first + 1, label)


def images(rows: Rows, groups: Groups, most: int | None) -> list[dict[str, Any]]:
    """A row for each group that has images, at most so many; without groups one."""
    detected = rows["model"] != NONE

    def count(which: NDArray[np.bool_]) -> list[int]:
        return list(np.bincount(groups.numbers[which], minlength=groups.many).tolist())

    every = np.bincount(groups.numbers, minlength=groups.many)
    there = np.flatnonzero(every)[:most].tolist() if groups.many > 1 else [0]
    circles = np.bincount(groups.numbers[detected], rows["circles"][detected], groups.many).astype(np.int64)
    seen, failed = count(detected), count(~detected & rows["failed"])
    without, circles_of = count(detected & (rows["circles"] == 0)), circles.tolist()
    return [
        groups.label(n)
        | {
            "images": many, "detected": seen[n], "failed": failed[n], "pending": many - seen[n] - failed[n],
            "without_circles": without[n], "circles": circles_of[n],
        }
        for n, many in ((n, int(every[n])) for n in there)
    ]  # fmt: skip


def bins(values: Measures, width: float, groups: Groups, most: int | None) -> list[dict[str, Any]] | None:
    """A row for each bin of a group that has circles, (n,) each; None: there may be very many."""
    highest = float(values.max()) / width
    if not (values.min() >= 0 and (highest + 1) * groups.many < MOST_CELLS):  # nor what is no number
        return None
    many = int(highest) + 1
    found = np.zeros(groups.many * many, np.int64)
    for begin in range(0, len(values), AT_ONCE):
        some = values[begin : begin + AT_ONCE].astype(np.float64) / width
        numbers = some.astype(np.int64)
        if groups.many > 1:
            numbers += groups.numbers[begin : begin + AT_ONCE] * many
        found += np.bincount(numbers, minlength=len(found))

    def bound(number: int) -> float:
        return float(f"{number * width:.12g}")  # as the query has it

    return [
        groups.label(n // many)
        | {"from_value": bound(n % many), "to_value": bound(n % many + 1), "circles": int(found[n])}
        for n in np.flatnonzero(found)[:most].tolist()
    ]
