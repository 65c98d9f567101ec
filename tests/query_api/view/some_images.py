"""Images of all kinds at random, questions about them, and DuckDB's answer from a window."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

from query_api.view.lake_reading import execute
from query_api.view.questions import Question
from query_api.view.reading import as_rows
from query_api.view.window import Window
from streams.circles import object_ids
from streams.records import Record
from tests.examples import MOMENT, circles, detected, failed, retried, uploaded

MINUTE = timedelta(minutes=1)
FIRST = MOMENT - MINUTE
MANY = 60


def some_log(pick: random.Random) -> list[Record]:
    """Images of three projects, several of one instant, each with some outcome; two models, one an image."""
    log: list[Record] = []
    for number in range(MANY):
        image_id = UUID(int=pick.getrandbits(128))
        image = {"image_id": image_id, "project_id": pick.choice("pqr")}
        at = MOMENT + pick.randrange(12) * pick.choice([MINUTE, 100 * MINUTE, 20_000 * MINUTE])
        more: dict[str, Any] = {"captured_at": at - MINUTE} if pick.random() < 0.5 else {}
        source = pick.choice(["", "a", 'b"\\ü'])
        log.append(uploaded(**image, source_id=source, uploaded_at=at, attributes={"n": source}, **more))
        if pick.random() < 0.6:
            version, found = pick.choice("12"), circles(pick.randrange(4))
            of = object_ids(image_id, "circles", version, len(found))
            found["object_id"] = [object_id.bytes for object_id in of]
            for name, most in (("radius", 40), ("score", 1)):
                found[name] = [pick.choice([most / 2, most, pick.uniform(0.01, most)]) for _ in found]
            log.append(detected(**image, model_version=version, circles=found, detected_at=at + MINUTE))
        if pick.random() < 0.4:
            letter = {"dead_letter_id": UUID(int=number + 1), "image_id": image_id}
            log.append(failed(**letter, project_id=image["project_id"], failed_at=at))
            log += [retried(**letter)] if pick.random() < 0.4 else []
    return log


def some_question(pick: random.Random, rows: list[dict[str, Any]]) -> Question:
    row = pick.choice(rows)
    moment = row["uploaded_at"] + pick.choice([-1, 0, 1]) * timedelta(microseconds=1)
    values = {
        "source": pick.choice([row["source_id"], "else"]), "project": pick.choice("pqrs"), "scope": "p",
        "since": moment, "until": pick.choice(rows)["uploaded_at"], "model": pick.choice(["circles", "else"]),
        "version": pick.choice("123"), "k0": row["uploaded_at"], "k1": row["image_id"],
        "min_circles": pick.randrange(4), "max_circles": pick.randrange(4),
    }  # fmt: skip
    own = ["source", "project", "scope", "since", "until", "not_after", "newest_behind"]
    outcome = ["detected", "failed", "pending", "min_circles", "max_circles"]
    return Question(
        "images",
        tuple(pick.sample(own, pick.choice([0, 1, 1, 2, 3]))),
        tuple(pick.sample(outcome, pick.choice([0, 0, 1, 2]))),
        tuple(pick.sample(["model", "version"], pick.choice([0, 0, 1, 2]))),
        values,
        count=pick.choice([1, 5, MANY]),
    )


def by_query(window: Window, question: Question) -> list[dict[str, Any]]:
    with window.reading() as cursor:
        return as_rows(execute(cursor, question.of_window(), {**question.values, "floor": FIRST}))
