"""Of another project nothing is seen: a query's answer is the same whether the others are there or not."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings

from query_api.sql import child
from query_api.sql.checking import Refused, check
from query_api.view.questions import Question
from query_api.view.reading import View
from streams.settings import Settings
from tests.query_api.sql.world import SECRET, request, view_of

MOST = 150
CONDITIONS = st.sampled_from(
    (
        "true", "width > 10", "CAST(source_id AS INTEGER) > 0", "CAST(uri AS DATE) IS NULL",
        "error(source_id) IS NULL",
        "error(source_id::VARCHAR)::INTEGER = 1", "1 / (length(source_id) - 8) > 0",
        "source_id LIKE '%ecre%'",
        "project_id <> 'mine'", "project_id = 'theirs'", "json_extract(attributes, '$[') IS NULL",
        "CAST(reason AS INTEGER) = 1", "CAST(model_name AS INTEGER) = 1", "strptime(uri, '%Y') IS NULL",
        "image_id::VARCHAR::INTEGER = 1", "width::UTINYINT * 10::UTINYINT > 3", "detected_at IS NULL",
        "CASE WHEN source_id[2:6] = 'ecret' THEN error('there') ELSE 1 END = 1",
        "try(CAST(uri AS INTEGER)) IS NULL",
        "uploaded_at > '2026-02-01'", "image_id IN (SELECT image_id FROM circles)",
        "regexp_matches(uri, uri)",
        "(SELECT count(*) FROM images i WHERE i.width >= images.width) > 3", "CAST(error AS BIGINT) = 1",
    )
)  # fmt: skip
ASKED = st.sampled_from(
    (
        "count(*)", "min(source_id), max(source_id)", "count(DISTINCT project_id)", "list(uri ORDER BY uri)",
        "sum(circle_count), min(uploaded_at), max(latency_ms)", "approx_count_distinct(image_id)",
        "string_agg(DISTINCT project_id, ',')", "max(CAST(source_id AS INTEGER))", "min(error(uri))",
        "histogram(width)", "count(reason), max(reason)", "arg_max(uri, width)",
    )
)  # fmt: skip
SOURCES = st.sampled_from(
    (
        "images",
        "images JOIN (SELECT image_id, x, object_id FROM circles) USING (image_id)",
        "images LEFT JOIN (SELECT image_id, radius FROM circles) USING (image_id)",
        "(FROM images LIMIT 1000)",
        "(SELECT * FROM images UNION ALL SELECT * FROM images)", "(WITH images AS (FROM images) FROM images)",
        "(SELECT DISTINCT ON (source_id) * FROM images ORDER BY source_id, image_id)",
        "(SELECT i.* FROM images i, LATERAL (SELECT 1 FROM circles c WHERE c.image_id = i.image_id LIMIT 1))",
        "(SELECT * FROM images QUALIFY row_number() OVER (PARTITION BY source_id ORDER BY uri) = 1)",
    )
)  # fmt: skip
QUERIES = st.builds(
    "SELECT {} FROM {} AS images WHERE {} AND {}".format, ASKED, SOURCES, CONDITIONS, CONDITIONS
)


class Process:
    """What a query of one project, or of all, meets in its process."""

    def __init__(self, view: Settings, project: str | None) -> None:
        self.connection = child.opened(request(view, "", project))
        self._request = replace(request(view, "", project), setup=[], rows={})

    def answer(self, query: str) -> str:
        """The rows, or the error."""
        try:
            check(self.connection, query)
            with tempfile.TemporaryFile() as file:
                child.answered(self.connection, replace(self._request, query=query), file.fileno())
                file.seek(0)
                return file.read().decode()
        except (Refused, duckdb.Error) as error:
            return f"{type(error).__name__}: {error}"


@pytest.fixture(scope="module")
def both(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return view_of(postgres, tmp_path_factory.mktemp("both"), ("mine", "camera"), ("theirs", SECRET))


@pytest.fixture(scope="module")
def seen(both: Settings, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> list[Process]:
    """What the process of a query of `mine` has: where there is nobody else, and where there is."""
    alone = view_of(postgres, tmp_path_factory.mktemp("alone"), ("mine", "camera"))
    return [Process(view, "mine") for view in (alone, both)]


@settings(max_examples=MOST, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERIES)
@example("SELECT count(*) FROM images WHERE error(source_id) IS NULL")
@example("SELECT count(*) FROM images WHERE CAST(source_id AS INTEGER) > 0 AND uploaded_at > '2026-02-01'")
@example("SELECT source_id FROM images WHERE CAST(source_id AS INTEGER) > 0")
def test_no_answer_and_no_error_depends_on_others(seen: list[Process], query: str) -> None:
    alone, both = (process.answer(query) for process in seen)
    if "Exception: " in both:  # which row fails first depends on how they are stored
        alone, both = (re.sub(r"'[^']*'|\d+", "", said) for said in (alone, both))
    assert alone == both
    assert SECRET not in both.replace(query, "")


def test_the_words_of_others_are_there_for_who_sees_all(both: Settings) -> None:
    assert SECRET in Process(both, None).answer("SELECT max(source_id) FROM images")
    assert SECRET in Process(both, None).answer("SELECT DISTINCT model_name FROM circles")


def test_the_relations_are_those_of_every_other_read(seen: list[Process], both: Settings) -> None:
    view = View(both)
    for name, columns in (("images", "image_id"), ("circles", "object_id")):
        question = Question(name, order=columns).within("mine")
        read = asyncio.run(view.rows(question))
        result = seen[1].connection.execute(f"FROM {name} ORDER BY {columns}")
        named = [column[0] for column in result.description]
        assert set(named) == {column for column in read[0] if column != "status"}
        asked = [dict(zip(named, row, strict=True)) for row in result.fetchall()]
        assert asked == [{column: row[column] for column in named} for row in read]
        assert len(asked) == 27


@pytest.mark.parametrize("relation", ["images", "circles"])
def test_nothing_that_a_query_says_goes_below_the_limit(seen: list[Process], relation: str) -> None:
    query = f"SELECT uploaded_at FROM {relation} WHERE contains(source_id, 'told')"  # noqa: S608
    plan = json.loads(seen[1].connection.execute(f"EXPLAIN (FORMAT json) {query}").fetchall()[0][1])
    assert "told" in json.dumps(plan)
    limits = [node for node in nodes(plan) if "LIMIT" in str(node.get("name"))]
    assert limits
    assert not any("told" in json.dumps(limit) for limit in limits)


def nodes(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    for each in part if isinstance(part, list) else ():
        yield from nodes(each)
