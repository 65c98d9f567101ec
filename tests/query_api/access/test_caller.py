"""Projects: what may be the name of one."""

from __future__ import annotations

import pytest

from query_api.access.caller import project_name


@pytest.mark.parametrize("name", ["p", "Hall.7", "a-b_c", "0" * 64])
def test_a_name_that_can_be_a_projects_is_taken_as_it_is(name: str) -> None:
    assert project_name(name) == name


@pytest.mark.parametrize("name", ["", "*", "a b", "a/b", ".a", "a\n", "\u00e9", "0" * 65, "a\0"])
def test_another_name_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="64 letters, digits"):
        project_name(name)
