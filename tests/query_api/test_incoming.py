"""What the document says of an upload's fields is what is taken."""

from __future__ import annotations

from typing import Any

import jsonschema_rs  # schemathesis brings it
import pytest

from query_api.errors import Problem
from query_api.incoming import BY_URL, FORM, about

FILE = {"file": "bytes"}
TAKEN: list[dict[str, Any]] = [
    {},
    {"captured_at": "", "attributes": "", "project": "", "source": ""},  # a form left empty
    {"captured_at": "2026-01-31T12:00:00Z", "source": "gate", "project": "one"},
    {"captured_at": "2026-01-31"},
]
REFUSED: list[dict[str, Any]] = [
    {"captured_at": "yesterday"},
    {"captured_at": 0},
    {"source": 0},
    {"source": "x" * 201},
    {"source": "a\0b"},
    {"project": []},
]


@pytest.mark.parametrize("fields", TAKEN, ids=str)
def test_what_fits_is_taken(fields: dict[str, Any]) -> None:
    jsonschema_rs.validate(FORM["schema"], FILE | fields, validate_formats=True)
    about(fields)


@pytest.mark.parametrize("fields", REFUSED, ids=str)
def test_what_does_not_fit_is_refused(fields: dict[str, Any]) -> None:
    for schema, rest in ((FORM["schema"], FILE), (BY_URL["schema"], {"url": "https://camera.example/1"})):
        assert not jsonschema_rs.is_valid(schema, rest | fields, validate_formats=True)
    with pytest.raises(Problem, match=r"captured_at|source and project|source has at most 200"):
        about(fields)
