"""The conditions of questions that rows of the timeline can be asked for, without a query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from query_api.view.columns import NONE, Rows
from query_api.view.questions import Question
from query_api.view.timeline import EPOCH, MICROSECOND, Key, Met

Values = Mapping[str, Any]
END: Key = (2**63 - 1, 0, 0)
"""Behind all there can be."""
NIL = UUID(int=0)

OF_ROWS = {
    "source", "project", "scope", "model", "version", "detected", "failed", "pending", "min_circles",
    "max_circles",
}  # fmt: skip
"""Conditions of queries.sql that rows are asked for."""
BEFORE: Mapping[str, Callable[[Values], Key]] = {
    "until": lambda values: key(values["until"]),
    "not_after": lambda values: (key(values["k0"])[0] + 1, 0, 0),
    "newest_behind": lambda values: key(values["k0"], values["k1"]),
}
"""Those that say before what all that meet them come."""


def key(moment: datetime, image_id: UUID = NIL) -> Key:
    return (moment - EPOCH) // MICROSECOND, image_id.int >> 64, image_id.int & (2**64 - 1)


class Asked(NamedTuple):
    """Which images a question is about: of those from a place in the order to before another, which rows."""

    since: Key
    before: Key
    met: Callable[[Rows], Met]


def asked(question: Question, floor: datetime) -> Asked | None:
    """Of images uploaded at `floor` or later; None where there are other conditions."""
    names = {*question.own, *question.outcome, *question.model} - {"since"}
    if not names <= OF_ROWS | BEFORE.keys():
        return None

    def met(rows: Rows) -> Met:
        every = np.ones(len(rows), np.bool_)
        for name in names & OF_ROWS:
            every &= meet(rows, name, question.values)
        return every

    since = max(floor, question.values["since"]) if "since" in question.own else floor
    before = min((BEFORE[name](question.values) for name in names & BEFORE.keys()), default=END)
    return Asked(key(since), before, met)


def meet(rows: Rows, name: str, values: Values) -> Met:
    """Which rows meet the condition of queries.sql of this name."""
    detected, words = rows["model"] != NONE, rows.words
    match name:
        case "source":
            return np.asarray(rows["source"] == words.find(values["source"]))
        case "project" | "scope":
            return np.asarray(rows["project"] == words.find(values[name]))
        case "model" | "version":
            place = ("model", "version").index(name)
            there = np.unique(rows["model"]).tolist()
            wanted = [n for n in there if n != NONE and words.words[n][place] == values[name]]
            return np.isin(rows["model"], wanted)
        case "detected":
            return np.asarray(detected)
        case "failed" | "pending":
            return np.asarray(~detected & (rows["failed"] == (name == "failed")))
        case "min_circles":
            return np.asarray(detected & (rows["circles"] >= values["min_circles"]))
        case "max_circles":
            return np.asarray(detected & (rows["circles"] <= values["max_circles"]))
    raise AssertionError(name)
