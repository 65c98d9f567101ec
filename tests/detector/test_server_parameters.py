"""What a request may ask for beside its images."""

from __future__ import annotations

import math
from typing import Any

import pytest

from detector import models
from detector.errors import InvalidRequest
from detector.serving.parameters import MAX_LABEL, Parameters, parse


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, Parameters("circle", None, 0, math.inf)),
        ({}, Parameters()),
        ({"binary_data_output": True, "priority": 3}, Parameters()),
        (
            {"label": "coin", "min_score": 0.5, "min_radius": 3, "max_radius": 40.5},
            Parameters("coin", 0.5, 3, 40.5),
        ),
        ({"min_score": 0, "min_radius": 0, "max_radius": 0}, Parameters("circle", 0, 0, 0)),
        ({"min_score": 1, "max_radius": 1e300}, Parameters("circle", 1, 0, 1e300)),
    ],
)
def test_reads(given: object, meant: Parameters) -> None:
    assert parse(given) == meant


@pytest.mark.parametrize("name", ["min_score", "min_radius", "max_radius"])
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, -0.1, -1, "0.5", "", True, False, None, [], {}]
)
def test_refuses_what_is_no_such_number(name: str, value: Any) -> None:
    with pytest.raises(
        InvalidRequest, match=rf"^parameters\.{name} is not a number from 0 (to 1|on, finite)$"
    ):
        parse({name: value})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (7, "parameters is not an object"),
        ([], "parameters is not an object"),
        ({"label": None}, "parameters.label is not a string"),
        ({"label": "x" * (MAX_LABEL + 1)}, "parameters.label is longer than 200 characters"),
        ({"min_score": 1.01}, "parameters.min_score is not a number from 0 to 1"),
        ({"min_radius": 10, "max_radius": 9}, "parameters.min_radius 10 is above max_radius 9"),
        ({"max_radius": 10**400}, "parameters.max_radius is not a number"),
    ],
)
def test_refuses(given: object, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{reason}"):
        parse(given)


def test_what_was_applied_is_the_models_own_where_nothing_was_asked() -> None:
    model = models.find("circles")
    assert Parameters().applied(model) == {"label": "circle", "min_score": model.min_score, "min_radius": 0}
    asked = Parameters("coin", 0.25, 2, 9).applied(model)
    assert asked == {"label": "coin", "min_score": 0.25, "min_radius": 2, "max_radius": 9}
