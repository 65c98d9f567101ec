"""The window's law: loaded or followed, whatever was committed in which order, it says what the lake says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import pytest
import uuid_utils.compat as uuids

from query_api.view.counting import counts
from query_api.view.pages import page
from query_api.view.questions import Question
from query_api.view.reading import as_rows
from query_api.view.relations import of_lake
from query_api.view.rows import Gone
from query_api.view.window import Window
from streams import lake
from streams.circles import object_ids
from streams.commit import View
from streams.ledger import Ledger
from streams.maintenance import maintenance
from streams.records import CirclesDetected, ImageFailed, ImageUploaded, Record, subject
from streams.settings import Settings
from streams.topics import TOPICS, topic_of
from tests.examples import (
    MOMENT,
    batch,
    circles,
    detected,
    failed,
    message,
    promoted,
    retried,
    uploaded,
)
from tests.lakes import fresh
from tests.query_api.view.windows import MOST, follow, following, loaded

SECOND = timedelta(seconds=1)
WIDE, SCORE = {"width": 0.05}, {"value": "score"}
ALL = "SELECT * FROM {} WHERE uploaded_at >= $floor ORDER BY ALL"


@pytest.fixture
def settings(postgres: str, tmp_path: Path) -> Settings:
    return fresh(postgres, tmp_path)


def some_log(pick: random.Random, images: int) -> list[Record]:
    """What may become of images: nothing, detections by several models, failures, retries; in any order."""
    records: list[Record] = []
    for number in range(images):
        # Most ids are ordered by time, as ours are; those that others give may be any.
        image_id = uuids.uuid7() if pick.random() < 0.9 else uuids.uuid4()
        at = MOMENT + number * SECOND
        source = pick.choice(["a", "b", ""])
        records.append(uploaded(image_id=image_id, source_id=source, uploaded_at=at, project_id="p"))
        versions = pick.choice([(), ("1",), ("1",), ("1",), ("2", "1"), ("1", "2", "3")])
        records += [some_detection(pick, image_id, version, at) for version in versions]
        for _ in range(pick.choice([0, 0, 0, 1, 2])):
            letter = uuids.uuid4()
            when = at + pick.choice([1, 2]) * SECOND
            records.append(failed(dead_letter_id=letter, image_id=image_id, project_id="p", failed_at=when))
            if pick.random() < 0.5:
                records.append(retried(dead_letter_id=letter, image_id=image_id))
    pick.shuffle(records)
    places = {r.image_id: n for n, r in enumerate(r for r in records if isinstance(r, ImageUploaded))}
    return [
        r
        if not isinstance(r, CirclesDetected | ImageFailed)
        else replace(r, source_partition=0, source_offset=places[subject(r)])
        for r in records
    ]


def some_detection(pick: random.Random, image_id: UUID, version: str, at: datetime, **more: Any) -> Record:
    found = circles(pick.randrange(4))
    of = object_ids(image_id, "circles", version, len(found))
    found["object_id"] = np.array([object_id.bytes for object_id in of], "V16")
    found["score"] = [pick.random() for _ in found]
    return detected(
        image_id=image_id, model_version=version, circles=found, project_id="p",
        detected_at=at + pick.choice([1, 2, 2, 3]) * SECOND, **more,
    )  # fmt: skip


def re_evaluated(pick: random.Random, log: list[Record]) -> list[Record]:
    """The same with detections of replays, each behind its image, and promotions."""
    longer = list(log)
    for offset, image in enumerate(record for record in log if isinstance(record, ImageUploaded)):
        for version in pick.choice([(), (), ("4",), ("5", "4")]):
            behind = longer.index(image) + 1
            again = some_detection(
                pick, image.image_id, version, image.uploaded_at,
                replay_id=uuids.uuid7(), source_partition=0, source_offset=offset,
            )  # fmt: skip
            longer.insert(pick.randint(behind, len(longer)), again)
    for version in pick.choices("12345", k=2):
        place = pick.randint(0, len(longer))
        longer.insert(place, promoted(promotion_id=uuids.uuid7(), model_version=version))
    return longer


class Fold:
    """Commits the records of a log in turn, at their offsets."""

    def __init__(self, settings: Settings, view: duckdb.DuckDBPyConnection, catalog: Any) -> None:
        self.ledger = Ledger(catalog, lake.live(settings))
        self.ledger.add({(topic.name, 0): 0 for topic in TOPICS})
        self.view = View(view, self.ledger, shared=False)

    def commit(self, records: list[Record]) -> None:
        at = self.ledger.stored()
        behind, sent = dict(at), []
        for record in records:
            topic = (topic_of(record).name, 0)
            sent.append(message(record, offset=behind[topic]))
            behind[topic] += 1
        self.view.commit(batch(sent), at, behind)


@contextmanager
def folding(settings: Settings) -> Iterator[Fold]:
    with lake.connect(settings, read_only=False) as view, lake.catalog(settings) as catalog:
        yield Fold(settings, view, catalog)


def rows(connection: duckdb.DuckDBPyConnection, text: str, values: dict[str, Any]) -> list[Any]:
    return connection.execute(text, values).fetchall()


def check(settings: Settings, window: Window) -> None:
    """All that the window has is what the lake has since the same time; its packed circles, too."""
    with lake.connect(settings, read_only=True) as view, window.cursor() as own:
        floor = {"floor": window.since or MOMENT - timedelta(days=9)}
        for table in ("images", "circles"):
            text = ALL.format(table)
            columns = "(" + ", ".join(c[0] for c in own.execute(f"FROM {table} LIMIT 0").description) + ")"
            same_order = text.replace("*", columns[1:-1], 1)
            assert rows(own, same_order, floor) == rows(view, f"{of_lake()} {same_order}", floor), table
        packed: dict[UUID, list[bytes]] = {}
        newest = "SELECT image_id, detected_at FROM images WHERE uploaded_at >= $floor"
        for image_id, detected_at in rows(own, newest, floor):
            found = window.newest.get(image_id)
            assert (found is not None) == (detected_at is not None)
            packed[image_id] = [circle.object_id for circle in found or ()]
        circles_now = "SELECT image_id, object_id FROM circles WHERE uploaded_at >= $floor"
        ordered = f"{circles_now} ORDER BY score DESC, object_id"
        expected: dict[UUID, list[bytes]] = {image_id: [] for image_id in packed}
        for image_id, object_id in rows(own, ordered, floor):
            expected[image_id].append(object_id.bytes)
        assert packed == expected
        question = Question("images", count=MOST)
        listed = as_rows(own.execute(question.of_window(), floor))
        assert page(window.timeline, question, floor["floor"]) == listed
        question = Question("statistics_histogram", by=("source_id",), values=WIDE, parts=SCORE, order="")
        counted = as_rows(own.execute(question.of_window(), {**floor, **WIDE}))
        assert counts(window.timeline, question, floor["floor"]) == counted
        several = "SELECT 1 FROM lake.detections GROUP BY image_id HAVING count(*) > 1 LIMIT 1"
        assert not window.one_model or not rows(view, several, {})


@pytest.mark.parametrize("seed", range(6))
def test_it_says_what_the_lake_says(settings: Settings, seed: int) -> None:
    pick = random.Random(seed)
    log = re_evaluated(pick, some_log(pick, 40))
    most = pick.choice([10, 25, MOST])
    window = loaded(settings, most)
    with (
        following(settings) as commits,
        folding(settings) as fold,
        maintenance(settings, lake.live(settings)) as upkeep,
    ):
        while log:
            for _ in range(pick.choice([1, 1, 3])):
                count = pick.choice([1, 3, 12, 40])
                if log[:count]:
                    fold.commit(log[:count])
                log = log[count:]
            if pick.random() < 0.3:
                list(upkeep.flush(1))
            if pick.random() < 0.3:
                list(upkeep.merge())
            try:
                follow(commits, window)
            except Gone:
                window = loaded(settings, most)
            check(settings, window)
            if pick.random() < 0.3:
                check(settings, loaded(settings, pick.choice([5, MOST])))


def test_what_a_replay_finds_is_served_once_its_version_is_promoted(settings: Settings) -> None:
    image_id, window = uuids.uuid7(), loaded(settings)
    with following(settings) as commits, folding(settings) as fold:
        image = {"image_id": image_id, "project_id": "p"}
        fold.commit([uploaded(**image), detected(**image, circles=circles(1))])
        fold.commit([detected(**image, model_version="2", circles=circles(3), replay_id=uuids.uuid7())])
        follow(commits, window)
        assert len(window.newest.get(image_id) or ()) == 1
        fold.commit([promoted(model_version="2")])
        with pytest.raises(Gone, match="another version"):
            follow(commits, window)
        assert len(loaded(settings).newest.get(image_id) or ()) == 3
        back = promoted(promotion_id=uuids.uuid7(), model_version="1", previous_version="2", back=True)
        fold.commit([back])
        assert len(loaded(settings).newest.get(image_id) or ()) == 1


def test_rows_that_were_flushed_before_they_were_followed_are_not_missed(settings: Settings) -> None:
    window = loaded(settings)
    with following(settings) as commits, folding(settings) as fold:
        fold.commit([uploaded(), detected()])
        with maintenance(settings, lake.live(settings)) as upkeep:
            assert list(upkeep.flush(1))
        fold.commit([uploaded(image_id=UUID(int=7))])
        follow(commits, window)
    check(settings, window)
    assert window.size() == 2


def test_commits_that_are_no_longer_kept_are_not_guessed(settings: Settings) -> None:
    window = loaded(settings)
    with following(settings) as commits, folding(settings) as fold:
        for number in range(3):
            fold.commit([uploaded(image_id=UUID(int=number + 1))])
        with maintenance(settings, lake.live(settings)) as upkeep:
            list(upkeep.steps(settings, thorough=True))
        with pytest.raises(Gone, match="no longer kept"):
            follow(commits, window)


def test_memory_is_given_back_when_images_leave(settings: Settings) -> None:
    window = loaded(settings, 50)
    with following(settings) as commits, folding(settings) as fold:
        log: list[Record] = [
            each
            for number in range(300)
            for image_id in [uuids.uuid7()]
            for each in (
                uploaded(image_id=image_id, uploaded_at=MOMENT + number * SECOND),
                detected(image_id=image_id, detected_at=MOMENT + number * SECOND),
            )
        ]
        for begin in range(0, len(log), 60):
            fold.commit(log[begin : begin + 60])
            follow(commits, window)
    assert 50 <= window.size() <= 55
    assert len(window.newest) == len(window.timeline) == window.size()
    check(settings, window)
