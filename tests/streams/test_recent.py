"""The keys in memory and those to be asked for are together all that the table has."""

from __future__ import annotations

from uuid import UUID

import hypothesis.strategies as st
from hypothesis import example, given, settings

from streams.recent import SLACK, Window
from streams.views import Detected
from tests.streams.strategies import law

KEYS = st.tuples(
    st.integers(0, 9).map(lambda number: bytes([number])),
    st.just("circles"),
    st.sampled_from(["1", "2", "3"]),
)
STEPS = st.lists(st.tuples(st.sets(KEYS, max_size=6), st.booleans()), max_size=8)


def reloaded(table: set[Detected], most: int) -> Window[Detected, None]:
    """A window over the newest rows of a table, as it is made at a start."""
    newest = sorted(table, key=lambda key: key[0], reverse=True)[:most]
    return Window(dict.fromkeys(newest), most)


NEW, OLD = (b"\1", "circles", "1"), {(b"\0", "circles", "1"), (b"\0", "circles", "2")}


@settings(law, max_examples=500)
@given(st.integers(1, 5), STEPS, st.sets(KEYS))
@example(1, [({NEW, *OLD}, False), (OLD, False)], {NEW})
def test_no_key_is_forgotten_and_none_made_up(
    most: int, steps: list[tuple[set[Detected], bool]], wanted: set[Detected]
) -> None:
    table: set[Detected] = set()
    window = reloaded(table, most)
    for committed, restarted in steps:
        table |= committed
        window.add(dict.fromkeys(committed))
        if restarted:
            window = reloaded(table, most)
        known, asked = window.known(wanted, set())
        assert known.keys() <= table
        assert wanted & table <= known.keys() | asked


def test_what_is_newer_than_all_in_memory_is_never_asked_for() -> None:
    window = Window[Detected, None]({}, 10)
    for number in range(100):
        key = (bytes([number]), "circles", "1")
        assert window.known({key}, set()) == ({}, set())
        window.add({key: None})
    assert window.known({(b"\x01", "circles", "1")}, set()) == ({}, {(b"\x01", "circles", "1")})


def test_what_was_known_of_a_key_first_stays() -> None:
    """An image's row is where its first copy was."""
    window = Window[UUID, int]({UUID(int=1): 3}, 10)
    window.add({UUID(int=1): 4, UUID(int=2): 5})
    window.add({UUID(int=2): 6})
    assert window.known([UUID(int=1), UUID(int=2)], set()) == ({UUID(int=1): 3, UUID(int=2): 5}, set())


def test_a_window_is_bounded_whatever_comes() -> None:
    window = Window[Detected, None]({}, 10)
    for number in range(1000):
        window.add({(number.to_bytes(2), "circles", version): None for version in ("1", "2")})
        assert len(window) <= 10 * (1 + SLACK)
