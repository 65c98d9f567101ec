"""Every schema has an example that is true: it is a record, and its ids are those the stages give."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from uuid import uuid5

import pytest

from streams import errors
from streams.circles import CIRCLE, object_ids
from streams.codec import RECORDS, Codec
from streams.records import CirclesDetected, ImageFailed, dead_letter_id
from streams.schemas import block_dtype, read_schemas
from tests.examples import values
from tests.schemas.examples import FILES, FOLDER, document, record_of, versions

every_schema = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@every_schema
def test_an_example_comes_back_from_its_bytes(path: Path) -> None:
    record, codec = record_of(path), Codec()
    assert values(codec.decode(codec.encode(record))) == values(record)


def test_no_example_is_without_its_schema() -> None:
    examples = {path.name.removesuffix(".example.json") for path in FOLDER.glob("*.example.json")}
    assert examples == {path.name.removesuffix(".avsc") for path in FILES}


def test_every_record_of_the_log_has_a_schema_and_every_schema_is_read() -> None:
    assert versions().keys() == RECORDS.keys() == read_schemas().keys()
    assert sum(map(len, read_schemas().values())) == len(FILES)


@every_schema
def test_a_file_is_named_for_the_record_in_it(path: Path) -> None:
    assert document(path)["name"] == path.name.split(".")[0]
    assert document(path)["namespace"] == "circles"


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_the_fields_of_its_newest_schema_in_their_order(name: str) -> None:
    newest = document(versions()[name][-1])
    assert [field.name for field in fields(RECORDS[name])] == [field["name"] for field in newest["fields"]]


def test_a_circle_in_numpy_is_laid_out_as_in_the_schema() -> None:
    newest = document(versions()["CirclesDetected"][-1])
    assert block_dtype(newest) == CIRCLE
    (circles,) = (field["type"] for field in newest["fields"] if field["name"] == "circles")
    sizes = {"float": 4}
    items = [(f["name"], sizes[f["type"]] if isinstance(f["type"], str) else f["type"]["size"])
             for f in circles["items"]["fields"]]  # fmt: skip
    assert [(name, CIRCLE[name].itemsize) for name in CIRCLE.names or ()] == items
    assert sum(size for _, size in items) == CIRCLE.itemsize == 48


def test_the_ids_of_the_examples_are_those_that_the_stages_give() -> None:
    """Who writes another producer compares its own with them."""
    detected = record_of(versions()["CirclesDetected"][-1])
    assert isinstance(detected, CirclesDetected)
    name, version = detected.model_name, detected.model_version
    assert detected.event_id == uuid5(detected.image_id, f"{name}:{version}")
    ids = object_ids(detected.image_id, name, version, len(detected.circles))
    assert [i.tobytes() for i in detected.circles["object_id"]] == [i.bytes for i in ids]
    failed = record_of(versions()["ImageFailed"][-1])
    assert isinstance(failed, ImageFailed)
    place = (failed.source_topic, failed.source_partition, failed.source_offset)
    assert failed.dead_letter_id == dead_letter_id(failed.stage, *place)


def test_the_error_of_the_example_is_one_of_ours() -> None:
    failed = record_of(versions()["ImageFailed"][-1])
    assert isinstance(failed, ImageFailed)
    assert failed.error in vars(errors)
