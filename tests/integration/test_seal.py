"""Sealed positions, by a secret in a real PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest

from query_api.access.caller import OPERATOR, RIGHTS, Caller
from query_api.access.seal import Seal
from query_api.errors import Problem
from query_api.moments import read
from streams.topics import UPLOADED

A, B = (Caller(project, RIGHTS, project) for project in ("a", "b"))


@pytest.fixture(scope="module")
def seals(postgres: str) -> tuple[Seal, Seal]:
    """Those of two API processes."""
    both = Seal(), Seal()
    for seal in both:
        with psycopg.connect(postgres) as connection:
            seal.load(connection)
    return both


def test_what_one_process_sealed_for_a_project_another_opens_for_that_project(
    seals: tuple[Seal, Seal],
) -> None:
    one, other = seals
    sealed = one.close("3-1207", A)
    assert "1207" not in sealed
    assert read(sealed, other, A) == {(UPLOADED.name, 3): 1207}
    assert read(f"{sealed},3-9", other, OPERATOR) == {(UPLOADED.name, 3): 1207}
    assert one.close("3-1207", OPERATOR) == "3-1207"


def test_a_caller_of_one_project_can_name_no_other_position(seals: tuple[Seal, Seal]) -> None:
    one, other = seals
    for text in ("3-1207", one.close("3-1207", A)[:-4] + "AAA=", one.close("3-1207", A), "", "\u00e9"):
        with pytest.raises(Problem, match="like 3-1207"):
            read(text or ",", other, B)
