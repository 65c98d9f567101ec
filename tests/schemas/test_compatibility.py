"""Each version of a schema reads every earlier one and is read by it, by the Avro project's own check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import combinations
from typing import Any

import avro.schema
import orjson
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from tests.schemas.examples import document, versions

Document = dict[str, Any]


def incompatibilities(documents: Sequence[Document]) -> list[str]:
    """What is wrong between any two versions, in either direction."""
    parsed = [avro.schema.parse(orjson.dumps(document).decode()) for document in documents]
    wrong, check = [], ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    for (a, earlier), (b, later) in combinations(enumerate(parsed, 1), 2):
        for reader, writer, how in ((later, earlier, f"{b} reads {a}"), (earlier, later, f"{a} reads {b}")):
            found = check.get_compatibility(reader, writer)
            if found.compatibility is not SchemaCompatibilityType.compatible:
                wrong.append(f"{how}: {'; '.join(sorted(found.messages))}")
    return wrong


@pytest.mark.parametrize("name", versions())
def test_every_version_reads_every_other(name: str) -> None:
    assert incompatibilities([document(path) for path in versions()[name]]) == []


def with_an_optional_field(made: Document) -> None:
    made["fields"].insert(3, {"name": "note", "type": ["null", "string"], "default": None})


def without_a_field_that_has_a_default(made: Document) -> None:
    made["fields"] = [field for field in made["fields"] if field["name"] != "project_id"]


def with_other_words(made: Document) -> None:
    made["doc"] = "other words"


def with_a_required_field(made: Document) -> None:
    made["fields"].append({"name": "note", "type": "string"})


def without_a_required_field(made: Document) -> None:
    made["fields"] = [field for field in made["fields"] if field["name"] != "event_id"]


def with_a_wider_number(made: Document) -> None:
    for field in made["fields"]:
        if field["type"] in ("float", "int"):
            field["type"] = {"float": "double", "int": "long"}[field["type"]]


def with_another_name(made: Document) -> None:
    made["name"] += "Twice"


def with_a_longer_id(made: Document) -> None:
    made["fields"][-1]["type"]["items"]["fields"][0]["type"]["size"] = 32


@pytest.mark.parametrize(
    "change", [with_an_optional_field, without_a_field_that_has_a_default, with_other_words]
)
def test_the_check_lets_a_compatible_second_version_pass(change: Callable[[Document], None]) -> None:
    first = document(versions()["CirclesDetected"][0])
    second = deepcopy(first)
    change(second)
    assert incompatibilities([first, second]) == []


@pytest.mark.parametrize(
    ("change", "directions"),
    [
        (with_a_required_field, ["2 reads 1"]), (without_a_required_field, ["1 reads 2"]),
        (with_a_wider_number, ["1 reads 2"]), (with_another_name, ["2 reads 1", "1 reads 2"]),
        (with_a_longer_id, ["2 reads 1", "1 reads 2"]),
    ],
)  # fmt: skip
def test_the_check_finds_an_incompatible_second_version(
    change: Callable[[Document], None], directions: list[str]
) -> None:
    first = document(versions()["CirclesDetected"][0])
    second = deepcopy(first)
    change(second)
    assert [wrong.split(":")[0] for wrong in incompatibilities([first, second])] == directions
