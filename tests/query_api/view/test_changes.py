"""Changes have the same order and places whoever reads them when, however much at once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest
import uuid_utils.compat as uuids

from query_api.view import changes
from query_api.view.changes import ALL, Change, Of, Place
from query_api.view.commits import Commits, Delta
from query_api.view.recent import Recent
from query_api.view.rows import TOLD
from streams import lake
from streams.maintenance import maintenance
from streams.settings import Settings
from tests.examples import MOMENT, failed, uploaded
from tests.lakes import fresh
from tests.query_api.view.test_window import folding, some_log
from tests.query_api.view.windows import following, over


@pytest.fixture
def settings(postgres: str, tmp_path: Path) -> Settings:
    """All snapshots are kept, but files that were merged are deleted at once."""
    return fresh(postgres, tmp_path).model_copy(update={"snapshot_retention_s": 3600})


def image(number: int) -> UUID:
    return UUID(int=number)


def failures(snapshot: int, numbers: list[int | None], letters: list[int]) -> Delta:
    """Dead letters of images; of none for None."""
    table = pa.table(
        {
            "dead_letter_id": pa.array([image(n).bytes for n in letters], pa.uuid()),
            "image_id": pa.array([None if n is None else image(n).bytes for n in numbers], pa.uuid()),
            "project_id": ["p"] * len(numbers),
            "stage": ["detect"] * len(numbers),
            "error": ["E"] * len(numbers),
            "reason": ["r"] * len(numbers),
            "failed_at": [MOMENT] * len(numbers),
        }
    )
    return Delta(snapshot, {}, {"failures": table}, {"failures": [snapshot] * len(numbers)})


def test_changes_are_ordered_whatever_the_order_of_rows_and_dead_letters_of_no_image_are_none() -> None:
    known = {image(1): Of("p", "gate"), image(2): Of("p", "")}
    one = changes.changes(failures(7, [2, 1, None, 1], [1, 4, 2, 3]), known)
    other = changes.changes(failures(7, [1, 1, 2, None], [3, 4, 1, 2]), known)
    assert one == other
    assert [change.place for change in one] == [(7, 0), (7, 1), (7, 2)]
    assert [change.of.source_id for change in one] == ["gate", "gate", ""]


def made(number: int, project: str, source: str | None, kind: changes.Kind) -> Change:
    return Change(Place(5, number), kind, Of(project, source), b"{}")


FOUND = [
    made(0, "a", "x", "uploaded"),
    made(1, "b", "x", "uploaded"),
    made(2, "a", "y", "detected"),
    made(3, "a", None, "failed"),
]


@pytest.mark.parametrize(
    ("behind", "project", "source", "kinds", "numbers"),
    [
        (Place(4, ALL), None, None, (), [0, 1, 2, 3]),
        (Place(5, 1), None, None, (), [2, 3]),
        (Place(5, ALL), None, None, (), []),
        (Place(4, ALL), "a", None, (), [0, 2, 3]),
        (Place(4, ALL), "b", None, (), [1]),
        (Place(4, ALL), None, "x", (), [0, 1, 3]),
        (Place(4, ALL), None, "", (), [3]),
        (Place(4, ALL), None, None, ("detected", "failed"), [2, 3]),
        (Place(5, 0), "a", "x", ("uploaded", "detected"), []),
    ],
)
def test_filters_leave_out_what_is_not_asked_for_and_no_outcome_whose_source_is_unknown(
    behind: Place,
    project: str | None,
    source: str | None,
    kinds: tuple[changes.Kind, ...],
    numbers: list[int],
) -> None:
    found = changes.wanted(FOUND, behind, project, source, kinds)
    assert [change.place.number for change in found] == numbers


def read(commits: Commits, after: int, messages: int | None) -> list[Change]:
    """All changes after a snapshot, in pieces of so many messages."""
    found: list[Change] = []
    while (standing := commits.standing(after)).snapshot > after:
        delta = commits.added(after, {}, standing, TOLD, messages)
        found += changes.changes(delta, {})
        after = delta.snapshot
    return found


def test_every_reader_gives_the_same_changes_the_same_places_also_after_maintenance(
    settings: Settings,
) -> None:
    pick, live = random.Random(1), lake.live(settings)
    log, at_once = some_log(pick, 60), []
    with (
        following(settings) as commits,
        folding(settings) as fold,
        maintenance(settings, live) as upkeep,
    ):
        first = commits.standing(0).snapshot
        after = first
        while log:
            count = pick.choice([1, 3, 12, 30])
            fold.commit(log[:count])
            log = log[count:]
            if pick.random() < 0.2:
                list(upkeep.flush(1))
            now = commits.standing(after)
            at_once += changes.changes(commits.added(after, {}, now), {})
            after = now.snapshot
        places = [change.place for change in at_once]
        assert places == sorted(set(places)) and len(places) > 100
        # What is known of sources differs with what is read together; places and kinds do not.
        expected = [(change.place, change.kind) for change in at_once]
        for _ in range(2):
            for messages in (9, None):
                found = read(commits, first, messages)
                assert [(change.place, change.kind) for change in found] == expected
            list(upkeep.steps(settings, thorough=True))  # and once more, of merged files


def test_what_is_kept_in_memory_is_bounded_and_says_from_where_on_it_has_all() -> None:
    recent = Recent(most=10)
    recent.came("lake_1", 4, Delta(4, {}, {}))
    assert (recent.has(3), recent.has(4), recent.has(5)) == (False, True, False)
    for snapshot in range(5, 9):
        recent.came("lake_1", snapshot - 1, failures(snapshot, [1, 2, 3], [1, 2, 3]))
    assert (recent.first, recent.at) == (6, 8)  # a piece counts as one more
    assert recent.piece(5) is None and recent.piece(8) is None
    assert [(p.after, p.until) for p in map(recent.piece, (6, 7)) if p] == [(6, 7), (7, 8)]
    recent.came("lake_1", 8, failures(9, [1] * 20, list(range(20))))
    assert (recent.first, recent.at, recent.piece(8)) == (9, 9, None)
    recent.came("lake_1", 11, failures(12, [1], [1]))  # 10 and 11 were missed
    assert (recent.has(9), recent.has(11)) == (False, True)
    recent.came("lake_2", 2, Delta(2, {}, {}))
    assert (recent.generation, recent.has(11), recent.has(2)) == ("lake_2", False, True)


def test_commits_that_are_seen_again_are_told_of_once(settings: Settings) -> None:
    image_id, view = uuids.uuid7(), over(settings, None)
    with following(settings) as commits, folding(settings) as fold:
        start = commits.standing(0).snapshot
        fold.commit([uploaded(image_id=image_id, source_id="gate")])
        first = commits.standing(start)
        fold.commit([failed(image_id=image_id)])
        both = commits.standing(start)
        one, two = commits.added(start, {}, first), commits.added(start, {}, both)

    async def told() -> list[tuple[Place, Of]]:
        recent = Recent()
        recent.came("lake_1", start, one)
        recent.came("lake_1", start, two)
        pieces = [recent.piece(start), recent.piece(start + 1)]
        return [(each.place, each.of) for piece in pieces if piece for each in await piece.changes(view)]

    of = Of("default", "gate")
    assert asyncio.run(told()) == [((start + 1, 0), of), ((start + 2, 0), of)]
