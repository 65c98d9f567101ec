"""What the document says that texts look like is what is taken."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from query_api import patterns
from query_api.access.caller import project_name
from query_api.columns import CIRCLE_FIELDS
from query_api.comparing.route import Version
from query_api.filters import Attributes, Box, Circles, ModelName, Moment, Text
from query_api.versions import which

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.from_regex(patterns.JSON_OF_STRINGS, fullmatch=True))
def test_json_that_fits_is_taken(text: str) -> None:
    assume(len(text) <= 2000)
    TypeAdapter(Attributes).validate_python(text)


@given(st.dictionaries(TEXTS, TEXTS), st.booleans(), st.sampled_from([None, 1]))
def test_json_of_strings_fits_however_it_is_written(
    found: dict[str, str], escaped: bool, indent: int | None
) -> None:
    assert re.fullmatch(patterns.JSON_OF_STRINGS, json.dumps(found, ensure_ascii=escaped, indent=indent))


@given(TEXTS | st.from_regex(patterns.VERSION, fullmatch=True))
def test_what_names_a_version_fits(text: str) -> None:
    assume(len(text) <= 200)
    fits = bool(re.fullmatch(patterns.VERSION[1:-1], text))
    try:
        TypeAdapter(Version).validate_python(text)
    except ValidationError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": null}', '{"a": "b",}', '{"\\ud800": ""}', '{"a": "\n"}']
)
def test_other_json_neither_fits_nor_is_taken(text: str) -> None:
    assert not re.fullmatch(patterns.JSON_OF_STRINGS, text)
    with pytest.raises(ValidationError, match="JSON object of strings"):
        TypeAdapter(Attributes).validate_python(text)


@pytest.mark.parametrize("text", ["0,0,1,1", "-1.5,0,320.25,240", "3,3,3,3"])
def test_a_box_is_four_numbers(text: str) -> None:
    assert re.fullmatch(patterns.BOX, text)
    assert TypeAdapter(Box).validate_python(text) == text


@pytest.mark.parametrize("text", ["", "0,0,1", "0,0,1,1,1", "a,b,c,d", "0,0,nan,1", "0,0,inf,1", "0,0,1e3,1"])
def test_what_is_no_box_neither_fits_nor_is_taken(text: str) -> None:
    assert not re.fullmatch(patterns.BOX, text)
    with pytest.raises(ValidationError, match="x_min,y_min,x_max,y_max"):
        TypeAdapter(Box).validate_python(text)


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+01:00", "2026-01-31"])
def test_a_moment_is_a_time_or_a_day(text: str) -> None:
    assert TypeAdapter(Moment).validate_python(text).isoformat().startswith("2026-01-31T")


@pytest.mark.parametrize("text", ["0", "2026", "1e9", "-1.5", "nan", 2026])
def test_a_number_is_no_moment(text: str | int) -> None:
    with pytest.raises(ValidationError, match="is a time like"):
        TypeAdapter(Moment).validate_python(text)


@given(st.from_regex(patterns.PROJECT, fullmatch=True))
def test_a_project_that_fits_is_taken(name: str) -> None:
    assert not name or project_name(name) == name


@given(st.from_regex(patterns.NO_NUL, fullmatch=True))
def test_text_that_fits_is_taken(text: str) -> None:
    assume(len(text) <= 200)
    TypeAdapter(Text).validate_python(text)


def test_fields_that_fit_are_those_that_there_are() -> None:
    pattern = Circles.model_json_schema()["properties"]["fields"]["pattern"]
    for fits in ("", "radius", ",".join(CIRCLE_FIELDS), "radius, score"):
        assert re.fullmatch(pattern, fits)
    for other in ("radii", "radius,", ",", "radius score"):
        assert not re.fullmatch(pattern, other)


@pytest.mark.parametrize(
    ("text", "minute"),
    [
        ("2026-01-31T12:00:00+02:00", 600), ("2026-01-31T12:00:00 02:00", 600),
        ("2026-01-31T12:00 0200", 600),
        ("2026-01-31T12:00:00.250 02:00", 600), ("2026-01-31T12:00:00-02:00", 840), ("2026-01-31 12:00", 720),
        ("2026-01-31 12:00 02:00", 600), ("2026-01-31T12:00Z", 720), ("2026-01-31", 0),
    ],
)  # fmt: skip
def test_a_plus_that_became_a_blank_is_a_plus_again_and_another_blank_stays(text: str, minute: int) -> None:
    found = TypeAdapter(Moment).validate_python(text)
    assert (found.day, found.hour * 60 + found.minute) == (31, minute)


@given(st.from_regex(patterns.ASKED, fullmatch=True))
def test_a_model_that_fits_is_taken(text: str) -> None:
    assume(len(text) <= 200 and "+" not in text)  # what is behind a plus is said better by its reader
    TypeAdapter(ModelName).validate_python(text)
    assert which(text)


@pytest.mark.parametrize("text", ["", ":", ":2", "circles:", "a:b:c"])
def test_a_model_that_does_not_fit_is_refused(text: str) -> None:
    assert not re.fullmatch(patterns.ASKED, text)
    with pytest.raises(ValueError, match="model is current, all, NAME or NAME:VERSION"):
        which(text)
