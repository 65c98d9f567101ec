"""What an upload may prefer: to wait so long, or not at all."""

from __future__ import annotations

import pytest

from query_api.uploads import MOST_WAIT_S, preferred


@pytest.mark.parametrize(
    ("prefer", "later", "wait_s"),
    [
        ("", False, 10),
        ("respond-async", True, 0),
        ("wait=3", False, 3),
        ("Respond-Async, wait=3", True, 3),
        ('wait="0"', False, 0),
        ("wait=999999999", False, MOST_WAIT_S),
        ("wait=soon, handling=lenient", False, 10),
        ("no-respond-async", False, 10),
    ],
)
def test_what_is_preferred_and_what_is_no_preference(prefer: str, later: bool, wait_s: float) -> None:
    assert preferred(prefer, 10) == (later, wait_s)
