"""Exported files hold what the view held at one moment, typed where the format can, and read back as such."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import orjson
import pytest

from deploy.export import moment
from streams.export import export_coco, export_table, rows, whole
from tests.examples import MOMENT
from tests.streams.small_view import LATER, ODD, A, B, C, Folded, folded_view, held


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folded]:
    with folded_view(tmp_path_factory.mktemp("export")) as view:
        yield view


def written(folded: Folded, file: Path, table: str, kind: str, **filters: Any) -> list[dict[str, Any]]:
    """A table as its file says it, all of it text where the format knows no better."""
    count = export_table(folded.view, folded.now, file, table, kind, filters)
    if kind == "parquet":
        with duckdb.connect() as reader:
            reader.execute("SET TimeZone = 'UTC'")
            result = reader.execute("SELECT * FROM read_parquet(?)", [str(file)])
            names = [column[0] for column in result.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    elif kind == "csv":
        with file.open(newline="") as text:
            found = [*csv.DictReader(text)]
    else:
        found = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert len(found) == count
    return found


def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda row: [str(value) for value in row.values()])


@pytest.mark.parametrize("table", ["images", "detections", "objects", "failures"])
def test_parquet_has_the_rows_with_their_types(folded: Folded, tmp_path: Path, table: str) -> None:
    there = held(folded, table)
    assert in_order(written(folded, tmp_path / "out", table, "parquet")) == in_order(there)
    with duckdb.connect() as reader:
        kinds = reader.execute(
            "SELECT column_type FROM (DESCRIBE FROM read_parquet(?))", [str(tmp_path / "out")]
        )
        assert [kind for (kind,) in kinds.fetchall()] == folded.view.table(f"lake.{table}").types


def as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return str(value) if isinstance(value, UUID) else value


@pytest.mark.parametrize("table", ["detections", "objects"])
def test_lines_of_json_have_the_rows(folded: Folded, tmp_path: Path, table: str) -> None:
    there = [{name: as_json(value) for name, value in row.items()} for row in held(folded, table)]
    assert in_order(written(folded, tmp_path / "out", table, "jsonl")) == in_order(there)


def test_text_formats_say_times_in_utc_ids_as_text_and_bytes_in_base64(
    folded: Folded, tmp_path: Path
) -> None:
    (image,) = written(folded, tmp_path / "out", "images", "jsonl", image_id=A)
    assert (image["image_id"], image["uploaded_at"]) == (str(A), "2026-01-31T12:00:00.123456Z")
    assert (image["attributes"], image["captured_at"]) == ({"lane": ODD}, None)
    (image,) = written(folded, tmp_path / "out", "images", "csv", source=ODD)
    assert (image["image_id"], image["uploaded_at"]) == (str(C), "2026-01-31T12:00:00.123456Z")
    assert (image["source_id"], image["width"], image["captured_at"]) == (ODD, "64", "")
    for kind in ("csv", "jsonl"):
        (failure,) = written(folded, tmp_path / "out", "failures", kind)
        assert base64.b64decode(failure["message_key"]) == b"\0\xff"
        assert base64.b64decode(failure["message_value"]) == b"\xfe"
        headers = failure["headers"] if kind == "jsonl" else orjson.loads(failure["headers"])
        assert headers == [["h", "MQ=="]]
        assert failure["reason"] == ODD


@pytest.mark.parametrize(
    ("table", "filters", "count"),
    [
        ("images", {}, 4), ("images", {"image_id": B}, 1), ("images", {"project": "other"}, 1),
        ("images", {"source": "camera"}, 3), ("images", {"source": "' OR true --"}, 0),
        ("images", {"since": LATER}, 1), ("images", {"until": LATER}, 3),
        ("images", {"since": MOMENT, "until": LATER, "source": "camera"}, 2),
        ("detections", {}, 4), ("detections", {"image_id": A}, 2), ("detections", {"project": "other"}, 1),
        ("detections", {"source": "camera"}, 3), ("detections", {"model": "circles"}, 4),
        ("detections", {"model": "circles", "version": "2"}, 1), ("detections", {"model": "squares"}, 0),
        ("detections", {"since": LATER}, 1), ("detections", {"until": LATER}, 3),
        ("objects", {}, 6), ("objects", {"image_id": A}, 3), ("objects", {"project": "other"}, 3),
        ("objects", {"source": "camera"}, 3), ("objects", {"model": "circles", "version": "2"}, 1),
        ("objects", {"min_score": 0.5}, 6), ("objects", {"min_score": 0.51}, 0),
        ("objects", {"since": LATER}, 0), ("objects", {"until": LATER, "version": "1"}, 5),
        ("failures", {}, 1), ("failures", {"image_id": A}, 1), ("failures", {"image_id": B}, 0),
        ("failures", {"project": "other"}, 1), ("failures", {"project": "default"}, 0),
        ("failures", {"since": LATER}, 0), ("failures", {"until": LATER}, 1),
    ],
)  # fmt: skip
def test_filters_choose_rows(
    folded: Folded, tmp_path: Path, table: str, filters: dict[str, Any], count: int
) -> None:
    assert export_table(folded.view, folded.now, tmp_path / "out", table, "jsonl", filters) == count


@pytest.mark.parametrize(
    ("what", "name"),
    [("images", "min_score"), ("images", "model"), ("detections", "min_score"), ("failures", "source")],
)
def test_a_filter_that_does_not_apply_is_named(what: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} does not apply to {what}"):
        rows(what, {name: 1})


def test_an_export_is_of_its_snapshot(folded: Folded, tmp_path: Path) -> None:
    view, file = folded.view, tmp_path / "out"
    assert export_table(view, folded.before, file, "objects", "csv", {}) == 3
    assert export_table(view, folded.before, file, "objects", "csv", {"project": "other"}) == 0
    store = folded.settings.objects_url
    assert export_coco(view, folded.before, file, store, {"version": "1"}) == (2, 2)
    assert export_coco(view, folded.now, file, store, {"version": "1"}) == (3, 5)


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")

    def fail() -> None:
        with whole(target) as part:
            part.write_text("half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "before"
    with whole(target) as part:
        part.write_text("all of it")
        assert target.read_text() == "before"
    assert target.read_text() == "all of it"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_time_without_a_zone_is_utc() -> None:
    assert moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert moment("2026-01-31T12:00:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)
    with pytest.raises(ValueError, match="'yesterday' is no time: 2026-01-31 and"):
        moment("yesterday")
