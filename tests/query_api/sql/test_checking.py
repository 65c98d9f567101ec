"""What the first wall lets through, and that of each function of this DuckDB somebody has thought."""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb
import pytest

from query_api.sql.checking import FUNCTIONS, TABLE_FUNCTIONS, Refused, check

LEFT_OUT = re.compile(
    r"__internal_.*|icu_.*|st_.*|pg_.*|has_.*|inet_.*|enum_.*|current_(connection_id|database|query|"
    r"query_id|schema|schemas|setting|transaction_id|catalog|role|user)|"
    r"session_user|user|version|currval|nextval|getvariable|"
    r"get_block_size|get_type|make_type|replace_type|cast_to_type|can_cast_implicitly|combine|finalize|setseed|"
    r"constant_or_null|create_sort_key|in_search_path|json_(deserialize_sql|serialize_plan|serialize_sql)|"
    r"parse_duckdb_log_message|write_log|sleep_ms|stats|timetz_byte_comparable|txid_current|vector_type|"
    r"variant_(bytes_to_variant|to_parquet_variant|normalize)|(col|obj|shobj)_description|format_(pg_)?type|"
    r"map_to_pg_oid|remap_struct|is_histogram_other_bin|array_to_string_comma_default"
)
"""Functions that nobody may call: of the catalog, of the process, of DuckDB's own plans."""


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def test_each_function_of_this_duckdb_is_listed_or_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    names = {
        name
        for (name,) in connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions()"
            " WHERE function_type IN ('scalar', 'aggregate', 'macro')"
        ).fetchall()
    }
    left_out = {name for name in names if LEFT_OUT.fullmatch(name)}
    assert names - FUNCTIONS == left_out
    assert names & FUNCTIONS == names - left_out
    assert FUNCTIONS - names == {"unnest"}
    tables = connection.execute("SELECT function_name FROM duckdb_functions() WHERE function_type = 'table'")
    assert {name for (name,) in tables.fetchall()} >= TABLE_FUNCTIONS


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "VALUES (1), (2)",
        "FROM images",
        "TABLE images",
        "FROM Images SELECT count(*)",
        "DESCRIBE images",
        "SUMMARIZE circles",
        "FROM (DESCRIBE FROM images JOIN circles USING (image_id))",
        "SELECT * FROM images;",
        "SELECT * EXCLUDE (uri) REPLACE (upper(source_id) AS source_id) FROM images",
        "SELECT COLUMNS('x.*') FROM circles",
        "WITH a AS (FROM images), b AS MATERIALIZED (FROM a) SELECT * FROM b JOIN circles USING (image_id)",
        "WITH images AS (FROM images WHERE width > 1) FROM images",
        "SELECT source_id.upper() FROM images",
        "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a WHERE n < 5) FROM a",
        "SELECT source_id, count(*) FROM images GROUP BY ALL ORDER BY ALL LIMIT 10 OFFSET 1",
        "SELECT uploaded_at, count(*) FILTER (detected_at IS NULL) FROM images GROUP BY CUBE (1)",
        "SELECT row_number() OVER w, lag(width) OVER w FROM images WINDOW w AS (ORDER BY uploaded_at)",
        "SELECT * FROM images QUALIFY rank() OVER (PARTITION BY source_id ORDER BY width) = 1",
        "SELECT * FROM images i, LATERAL (FROM circles c WHERE c.image_id = i.image_id LIMIT 1)",
        "SELECT attributes->>'$.lane', json_extract(attributes, '$.x') FROM images",
        "SELECT list_transform([1], lambda x: x + 1), [x * 2 FOR x IN [1] IF x > 1], {'a': 1}, MAP {'a': 1}",
        "SELECT quantile_cont(radius, [.5, .9]), mode(score), histogram(radius) FROM circles",
        "SELECT CASE WHEN a THEN 1 END, a::DECIMAL(10, 2)[], try_cast(a AS STRUCT(b INTEGER)) FROM circles",
        "FROM (PIVOT images ON source_id IN ('a', 'b') USING count(*))",
        "FROM (UNPIVOT circles ON x, y)",
        "SELECT * FROM range(3) r(i), generate_series(1, 2), unnest([1, 2])",
        "FROM json_each('[1, 2]')",
        "SELECT extract(year FROM uploaded_at), uploaded_at AT TIME ZONE 'UTC', INTERVAL 3 DAY FROM images",
        "SELECT 1 UNION BY NAME SELECT 2 EXCEPT SELECT 3 INTERSECT SELECT 4",
        "FROM images USING SAMPLE 10%",
        "SELECT $a, $b",
        "SELECT ?, ?",
        "SELECT count(*) FROM images WHERE EXISTS (FROM circles) AND width IN (1, 2)",
        "SELECT DISTINCT ON (source_id) * FROM images ORDER BY source_id COLLATE NOCASE NULLS LAST",
        "SELECT * FROM images POSITIONAL JOIN circles",
        "SELECT * FROM images ASOF JOIN circles USING (uploaded_at)",
    ],
)
def test_what_analysts_ask_is_let_through(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    check(connection, query)


def test_a_name_of_with_means_nothing_else_beyond_it(connection: duckdb.DuckDBPyConnection) -> None:
    for name in ("pg_class", "duckdb_tables", "sqlite_master", '"a.csv"', '"/etc/passwd"'):
        with pytest.raises(Refused, match="call it otherwise"):
            check(connection, f"SELECT * FROM (WITH {name} AS (SELECT 1) SELECT 1), {name}")  # noqa: S608
    check(connection, "WITH detections AS (FROM images) FROM detections")
