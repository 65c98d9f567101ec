"""The checker itself: it takes answers of one moment, and finds those of two."""

from __future__ import annotations

import pytest

from tests.histories.promoted import Answer, Detected, Promoted, Served, Shown, violations

ONE = {name: frozenset({f"{name}-1-{n}" for n in range(2)}) for name in "abc"}
TWO = {name: frozenset({f"{name}-2-{n}" for n in range(3)}) for name in "ab"}
SERVED = Served(
    {
        "a": [Detected(10, "1", True, 1.0, ONE["a"]), Detected(12, "2", False, 2.0, TWO["a"])],
        "b": [Detected(11, "1", True, 1.5, ONE["b"]), Detected(13, "2", False, 2.5, TWO["b"])],
        "c": [Detected(30, "1", True, 3.0, ONE["c"])],
    },
    [Promoted(20, "2", 0), Promoted(40, "1", 1)],
)
"""Both looked at a and b, 2 is promoted at 20 and 1 again at 40; c came at 30 and only 1 looked at it."""


def shown(version: str, *images: str, circles: bool = True) -> tuple[Shown, ...]:
    of = {"1": ONE, "2": TWO, "": {}}[version]
    return tuple(Shown(name, version, of.get(name, frozenset()) if circles else None) for name in images)


@pytest.mark.parametrize(
    "answer",
    [
        Answer("/images", 14, shown("1", "a", "b")),
        Answer("/images", 14, shown("2", "a", "b")),  # read later than said
        Answer("/images", 20, shown("2", "a", "b") + shown("", "c")),
        Answer("/images", 20, shown("2", "a", "b") + shown("1", "c")),
        Answer("/images", 20, shown("1", "a", "b", "c", circles=False)),
        Answer("/images/a/objects", 25, (Shown("a", None, TWO["a"]),)),
        Answer("/objects", 25, (Shown("a", "2", frozenset({"a-2-1"}), all_circles=False),)),
    ],
)
def test_what_one_snapshot_serves_is_taken(answer: Answer) -> None:
    assert list(violations([answer], SERVED)) == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer("/images", 14, shown("1", "a") + shown("2", "b")),
        Answer("/images", 20, shown("1", "a", "b") + shown("", "c")),  # older than said
        Answer("/images", 40, shown("2", "a")),
        Answer("/images/a", 14, (Shown("a", "1", TWO["a"]),)),
        Answer("/images/a", 14, (Shown("a", "2", TWO["a"] - {"a-2-1"}),)),
        Answer("/images/a/objects", 14, (Shown("a", None, ONE["a"] | TWO["a"]),)),
        Answer("/images/c", 20, (Shown("c", "", ONE["c"]),)),
        Answer("/objects", 25, (Shown("a", "2", frozenset({"a-1-1"}), all_circles=False),)),
        Answer("/objects", 12, (*shown("1", "a"), *shown("2", "a"))),
    ],
)
def test_what_no_snapshot_serves_is_found(answer: Answer) -> None:
    assert len(list(violations([answer], SERVED))) == 1
