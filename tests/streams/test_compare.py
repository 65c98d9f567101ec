"""Comparing two views: DuckDB databases in memory stand where the lakes are."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import duckdb
import pytest

from streams.compare import Compared, Difference, compare
from streams.lake import STATEMENTS
from tests.streams.test_insert import TABLES

IMAGES = """INSERT INTO {view}.images (image_id, uri, width, log_partition, log_offset)
SELECT ('00000000-0000-7000-8000-' || lpad(i::VARCHAR, 12, '0'))::UUID, 'file:///' || i, i, 1, i
FROM range(500) t(i)"""
OBJECTS = """INSERT INTO {view}.objects (image_id, object_id, x)
SELECT image_id, uuid(), width + n FROM {view}.images, range(3) t(n)"""


def image(number: int) -> UUID:
    return UUID(f"00000000-0000-7000-8000-{number:012}")


@pytest.fixture
def views() -> Iterator[duckdb.DuckDBPyConnection]:
    """`live` and `fresh`, equal: 500 images with 3 circles each, in another order."""
    with duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    ) as connection:
        for view in ("live", "fresh"):
            connection.execute(f"ATTACH ':memory:' AS {view}")
            connection.execute(STATEMENTS["create_tables"].replace("lake.", f"{view}."))
        connection.execute(IMAGES.format(view="live"))
        connection.execute(OBJECTS.format(view="live"))
        for table in ("images", "objects"):
            connection.execute(f"INSERT INTO fresh.{table} FROM live.{table} ORDER BY hash(image_id)")
        yield connection


def differences(views: duckdb.DuckDBPyConnection) -> dict[str, Difference]:
    found = compare(views, "live", "fresh")
    assert {each.table for each in found} >= set(TABLES)
    for each in found:
        assert each.live and (each.difference is None) == (each.live == each.fresh)
    return {each.table: each.difference for each in found if each.difference}


def test_equal_rows_in_another_order_are_equal(views: duckdb.DuckDBPyConnection) -> None:
    assert differences(views) == {}
    images = compare(views, "live", "fresh")[0]
    assert (images.table, images.fresh.rows) == ("images", 500)


def test_what_the_live_view_lacks_or_has_too_much_is_counted_and_named(
    views: duckdb.DuckDBPyConnection,
) -> None:
    views.execute("DELETE FROM live.images WHERE width IN (7, 8)")
    views.execute("INSERT INTO live.images FROM fresh.images WHERE width = 9")  # doubled
    views.execute("INSERT INTO live.objects (image_id) VALUES (uuid())")  # of no image
    found = differences(views)
    assert found.keys() == {"images", "objects"}
    assert found["images"] == Difference(missing=2, extra=1, examples=(image(7), image(8), image(9)))
    assert (found["objects"].missing, found["objects"].extra) == (0, 1)
    assert "lacks 2 rows; the live view has 1 rows" in str(found["images"])


def test_other_values_are_named_by_their_columns(views: duckdb.DuckDBPyConnection) -> None:
    views.execute("UPDATE live.images SET width = NULL WHERE width = 4")
    views.execute("UPDATE live.images SET uri = uri || '.' WHERE width = 3")
    found = differences(views)["images"]
    assert found == Difference(other=2, columns=("uri", "width"), examples=(image(3), image(4)))
    assert not found.harmless


def test_values_that_changed_places_between_rows_of_an_image_are_seen(
    views: duckdb.DuckDBPyConnection,
) -> None:
    """Each column's values are the same, taken together."""
    views.execute("UPDATE live.objects SET x = 11 - x WHERE image_id = $id AND x <> 7", {"id": image(5)})
    assert differences(views)["objects"] == Difference(other=1, examples=(image(5),))


def test_the_place_of_a_copy_on_the_log_is_told_and_harms_nothing(views: duckdb.DuckDBPyConnection) -> None:
    views.execute("UPDATE live.images SET log_partition = 2, log_offset = 77 WHERE width = 5")
    found = differences(views)["images"]
    assert found == Difference(elsewhere=1)
    assert found.harmless
    views.execute("UPDATE live.images SET uri = '' WHERE width = 5")
    assert differences(views)["images"] == Difference(
        other=1, columns=("uri", "log_partition", "log_offset"), examples=(image(5),)
    )


def test_a_table_of_places_may_only_differ_where_there_is_an_image(views: duckdb.DuckDBPyConnection) -> None:
    for view in ("live", "fresh"):
        views.execute(f"CREATE TABLE {view}.strays (log_partition INTEGER, log_offset BIGINT, image_id UUID)")
        views.execute(f"INSERT INTO {view}.strays SELECT 1, 5, NULL")
    views.execute("INSERT INTO live.strays SELECT 2, 6, uuid()")
    assert differences(views) == {"strays": Difference(elsewhere=1)}
    views.execute("UPDATE live.strays SET log_offset = 4 WHERE image_id IS NULL")
    found = differences(views)["strays"]
    assert (found.other, found.columns) == (1, ("log_offset",))


def test_columns_that_only_one_view_has_are_left_out(views: duckdb.DuckDBPyConnection) -> None:
    views.execute("ALTER TABLE fresh.images ADD COLUMN colour VARCHAR DEFAULT 'red'")
    views.execute("CREATE TABLE fresh.added (image_id UUID)")
    assert differences(views) == {}


def test_a_table_that_cannot_be_read_is_a_difference(views: duckdb.DuckDBPyConnection) -> None:
    views.execute("ALTER TABLE live.images RENAME TO was")
    views.execute("CREATE VIEW live.images AS SELECT image_id, error('damaged') AS uri FROM live.was")
    (images,) = [each for each in compare(views, "live", "fresh") if each.table == "images"]
    assert images == Compared(
        "images", None, images.fresh, Difference(unreadable="Invalid Input Error: damaged")
    )
    assert images.difference and not images.difference.harmless
