"""What a view that is folded again would lack, as the log lost its beginning."""

from __future__ import annotations

from streams.ledger import Offsets
from streams.rebuild import missed, told

LIVE_FIRST: Offsets = {("a", 0): 0, ("a", 1): 10, ("b", 0): 0}
LIVE_NEXT: Offsets = {("a", 0): 100, ("a", 1): 40, ("b", 0): 7}
NONE = frozenset[str]()


def test_a_log_that_holds_all_that_was_folded_loses_nothing() -> None:
    assert missed({("a", 0): 0, ("a", 1): 10, ("b", 0): 0, ("c", 0): 5}, LIVE_FIRST, LIVE_NEXT, NONE) == {}
    assert missed({("a", 0): 0, ("a", 1): 0, ("b", 0): 0}, LIVE_FIRST, LIVE_NEXT, NONE) == {}


def test_what_is_before_the_logs_beginning_and_was_folded_is_lost() -> None:
    lost = missed({("a", 0): 25, ("a", 1): 90, ("b", 0): 0}, LIVE_FIRST, LIVE_NEXT, NONE)
    assert lost == {("a", 0): 25, ("a", 1): 30}  # not what the live view never had
    assert "55 messages that the live view is folded from (25 of a[0], 30 of a[1])" in told(lost)


def test_of_a_topic_made_anew_or_with_fewer_partitions_all_is_lost() -> None:
    lost = missed({("a", 0): 0, ("b", 0): 0}, LIVE_FIRST, LIVE_NEXT, frozenset({"b"}))
    assert lost == {("a", 1): 30, ("b", 0): 7}
