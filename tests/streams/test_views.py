"""The laws of the fold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from streams.circles import CIRCLE
from streams.errors import InvalidRecord
from streams.kept import KEPT
from streams.records import CirclesDetected, ImageUploaded, dead_letter_id
from streams.rows import Headers, pack_headers, unpack_headers
from streams.topics import DETECTED, TOPICS, UPLOADED
from streams.views import STAGE, Keys, Message, Rows, fold, keys
from tests.examples import MOMENT, batch, circles, detected, message, uploaded
from tests.streams.strategies import BYTES, TEXT, batches, law, logs

Tables = dict[str, list[dict[str, Any]]]


def keys_of_rows(rows: Rows) -> Keys:
    def column(table: str, *names: str) -> set[Any]:
        found = rows[table].to_pylist() if table in rows else []
        return {tuple(row[n] for n in names) if len(names) > 1 else row[names[0]] for row in found}

    return Keys(
        images=dict(column("images", "image_id", "log_partition")),
        detections={
            (i.bytes, *m) for i, *m in column("detections", "image_id", "model_name", "model_version")
        },
        kept={kept.table: column(kept.table, kept.id) for kept in KEPT.values() if kept.table in rows},
        unlisted=dict.fromkeys(column("unlisted", "log_partition", "log_offset")),
    )


def folded(cut: Sequence[Sequence[Message]]) -> Tables:
    """The view after batches: what the materializer does, with lists as tables."""
    tables, have = defaultdict[str, list[dict[str, Any]]](list), Keys()
    for part in cut:
        wanted = keys(batch(part))
        rows = fold(
            Keys(
                {i: have.images[i] for i in wanted.images.keys() & have.images.keys()},
                wanted.detections & have.detections,
                {table: ids & have.kept.get(table, set()) for table, ids in wanted.kept.items()},
                dict.fromkeys(wanted.unlisted.keys() & have.unlisted.keys()),
            ),
            batch(part),
        )
        for name, table in rows.items():
            tables[name] += table.to_pylist()
        new = keys_of_rows(rows)
        have.images |= new.images
        have.detections |= new.detections
        for table, ids in new.kept.items():
            have.kept.setdefault(table, set()).update(ids)
        have.unlisted |= new.unlisted
    return dict(tables)


def as_sets(tables: Tables) -> dict[str, list[str]]:
    return {name: sorted(map(repr, rows)) for name, rows in tables.items()}


@law
@given(logs(), st.data())
def test_any_cut_of_a_log_into_batches_gives_the_same_tables(log: list[Message], data: st.DataObject) -> None:
    assert folded(data.draw(batches(log))) == folded([log])


@law
@given(logs(), st.data())
def test_folding_any_part_again_adds_nothing(log: list[Message], data: st.DataObject) -> None:
    part = [again for again in log if data.draw(st.booleans())]
    assert folded([log, part]) == folded([log])
    assert folded([log, *[[again] for again in part]]) == folded([log])


@law
@given(logs(), st.data())
def test_the_order_between_topics_does_not_matter(log: list[Message], data: st.DataObject) -> None:
    queues = {topic.name: iter([m for m in log if m.topic == topic.name]) for topic in TOPICS}
    other = [next(queues[topic]) for topic in data.draw(st.permutations([m.topic for m in log]))]
    assert as_sets(folded([other])) == as_sets(folded([log]))


@law
@given(logs())
def test_a_keys_first_message_wins(log: list[Message]) -> None:
    firsts: dict[Any, int] = {}
    for sent in log:
        if isinstance(sent.record, ImageUploaded):
            firsts.setdefault(sent.record.image_id, sent.offset)
    rows = folded([log]).get("images", [])
    assert {row["image_id"]: row["log_offset"] for row in rows} == firsts


@law
@given(logs())
def test_every_message_has_its_row_but_an_upload_that_cannot_be_read(log: list[Message]) -> None:
    told = [m for m in log if not (m.topic == UPLOADED.name and isinstance(m.record, InvalidRecord))]
    assert replace(keys_of_rows(fold(Keys(), batch(log))), unlisted={}) == replace(
        keys(batch(told)), unlisted={}
    )


@law
@given(logs())
def test_every_upload_is_its_images_row_or_behind_one_on_its_partition_or_a_stray(log: list[Message]) -> None:
    tables = folded([log])
    rows = {(row["image_id"], row["log_partition"]) for row in tables.get("images", [])}
    expected = {
        (sent.partition, sent.offset, image_id)
        for sent in log
        if sent.topic == UPLOADED.name
        and ((image_id := getattr(sent.record, "image_id", None)), sent.partition) not in rows
    }
    unlisted = [(s["log_partition"], s["log_offset"], s["image_id"]) for s in tables.get("unlisted", [])]
    assert sorted(unlisted, key=repr) == sorted(expected, key=repr)


@law
@given(logs())
def test_a_detections_circles_are_the_rows_of_its_objects(log: list[Message]) -> None:
    tables = folded([log])
    first: dict[Any, CirclesDetected] = {}
    for sent in log:
        if isinstance(record := sent.record, CirclesDetected):
            first.setdefault((record.image_id, record.model_name, record.model_version), record)
    expected = [
        (image_id, name, version, *circle.tolist()[1:], circle["object_id"].tobytes())
        for (image_id, name, version), record in first.items()
        for circle in record.circles
    ]
    columns = ("image_id", "model_name", "model_version", *(CIRCLE.names or ())[1:])
    rows = tables.get("objects", [])
    assert [(*(row[c] for c in columns), row["object_id"].bytes) for row in rows] == expected
    counts = [row["circle_count"] for row in tables.get("detections", [])]
    assert counts == [len(record.circles) for record in first.values()]


def test_of_an_upload_that_cannot_be_read_only_its_place_is_kept() -> None:
    unreadable = message(InvalidRecord("no framing"), UPLOADED, partition=2, offset=7)
    rows = fold(Keys(), batch([unreadable, unreadable]))
    assert {name: table.to_pylist() for name, table in rows.items()} == {
        "unlisted": [{"log_partition": 2, "log_offset": 7, "image_id": None}]
    }


def test_a_copy_leaves_nothing_on_its_images_partition_and_its_place_on_another() -> None:
    log = [message(uploaded(), partition=p, offset=offset) for offset, p in enumerate((1, 1, 2))]
    rows = fold(Keys(), batch(log))
    assert rows["images"]["log_offset"].to_pylist() == [0]
    stray = {"log_partition": 2, "log_offset": 2, "image_id": uploaded().image_id}
    assert rows["unlisted"].to_pylist() == [stray]
    later = fold(Keys(images={uploaded().image_id: 1}), batch(log[1:]))
    assert {name: table.to_pylist() for name, table in later.items()} == {"unlisted": [stray]}


def test_a_detection_that_cannot_be_read_is_a_failure_with_all_of_its_bytes() -> None:
    raw: dict[str, Any] = {"key": b"k", "value": b"\xff", "headers": (("a", b"1"), ("a", None))}
    unreadable = message(InvalidRecord("no framing"), DETECTED, partition=2, offset=7, **raw)
    rows = fold(Keys(), batch([unreadable, unreadable]))
    assert list(rows) == ["failures"]
    (row,) = rows["failures"].to_pylist()
    assert unpack_headers(row.pop("headers")) == raw["headers"]
    assert row == {
        "dead_letter_id": dead_letter_id(STAGE, DETECTED.name, 2, 7),
        "image_id": None, "project_id": "default", "stage": STAGE,
        "error": "InvalidRecord", "reason": "no framing",
        "source_topic": DETECTED.name, "source_partition": 2, "source_offset": 7,
        "message_key": b"k", "message_value": b"\xff", "failed_at": MOMENT,
    }  # fmt: skip


def test_two_versions_of_a_model_lie_side_by_side() -> None:
    log = [message(detected(model_version=version)) for version in ("1", "2", "1")]
    rows = fold(Keys(), batch(log))
    assert rows["detections"]["model_version"].to_pylist() == ["1", "2"]
    assert rows["objects"]["model_version"].to_pylist() == ["1", "1", "2", "2"]


def test_an_image_without_circles_is_detected_and_has_no_objects() -> None:
    rows = fold(Keys(), batch([message(detected(circles=circles(0)))]))
    assert rows["detections"]["circle_count"].to_pylist() == [0]
    assert "objects" not in rows


def test_nothing_folds_to_nothing() -> None:
    assert fold(Keys(), batch([])) == {}
    assert fold(Keys(images={uploaded().image_id: 0}), batch([message(uploaded())])) == {}


@law
@given(st.lists(st.tuples(TEXT, BYTES), max_size=4).map(tuple))
def test_headers_come_out_of_their_column_as_they_went_in(headers: Headers) -> None:
    assert unpack_headers(pack_headers(headers)) == headers
