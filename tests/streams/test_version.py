"""A version's one spelling: what is read is what was written, however; what is none is said."""

from __future__ import annotations

import random
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.serving.parameters import Parameters
from streams.version import PARAMETERS, VERSION, Value, Version, parted, spelled
from tests.streams.strategies import BARE_VERSIONS, MODEL_NAMES
from tests.streams.strategies import PARAMETERS as SOME


@given(MODEL_NAMES, BARE_VERSIONS, SOME)
def test_a_version_survives_spelling_and_reading(name: str, bare: str, parameters: dict[str, Value]) -> None:
    version = Version(name, spelled(bare, parameters))
    assert Version.read(str(version)) == version
    assert parted(version.version) == (bare, parameters)
    assert re.search(VERSION, str(version), re.ASCII)


@given(MODEL_NAMES, BARE_VERSIONS, SOME, st.randoms())
def test_another_order_and_other_digits_are_the_same_version(
    name: str, bare: str, parameters: dict[str, Value], rng: random.Random
) -> None:
    said = [
        f"{key}={value if isinstance(value, str) else at_length(value)}" for key, value in parameters.items()
    ]
    rng.shuffle(said)
    text = f"{name}:{bare}+{','.join(said)}" if said else f"{name}:{bare}"
    assert Version.read(text) == Version(name, spelled(bare, parameters))


def at_length(value: float) -> str:
    """A number without an exponent where it is not too long, and with a zero behind."""
    plain = f"{Decimal(repr(value)):f}"
    return repr(value) if len(plain) > 20 else f"{plain}0" if "." in plain else f"{plain}.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("circles:2+min_score=.7,min_radius=20", "circles:2+min_radius=20,min_score=0.7"),
        ("circles:2+max_radius=1e2,label=coin", "circles:2+label=coin,max_radius=100"),
        ("circles:2+min_score=1.0", "circles:2+min_score=1"),
        ("circles:2+min_radius=0", "circles:2+min_radius=0"),
        ("circles:2.0+cu118", "circles:2.0+cu118"),
        ("circles:2.0+cu118+min_score=.5", "circles:2.0+cu118+min_score=0.5"),
    ],
)
def test_how_a_version_is_spelled(text: str, said: str) -> None:
    assert str(Version.read(text)) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "as NAME:VERSION"),
        ("circles", "as NAME:VERSION, like circles:2, not 'circles'"),
        ("circles:", "as NAME:VERSION"),
        (":2", "as NAME:VERSION"),
        ("../x:2", "as NAME:VERSION"),
        ("circles:2/x", "a version is like 2 or"),
        ("circles:2 min_score=.5", "a version is like 2 or"),
        ("circles:+min_score=.5", "a version is like 2 or"),
        ("circles:2+min_score=.5+min_radius=3", "one plus and then commas"),
        (
            "circles:2+min_scores=.5",
            "no parameter 'min_scores': there are label, max_radius, min_radius",
        ),
        ("circles:2+min_score=.5,", "no parameter ''"),
        ("circles:2+min_score", "min_score is 0 to 1, like min_score=0.7, not ''"),
        ("circles:2+min_score=1.5", "min_score is 0 to 1, like min_score=0.7, not '1.5'"),
        ("circles:2+min_score=-1", "min_score is 0 to 1"),
        ("circles:2+min_score=nan", "min_score is 0 to 1"),
        ("circles:2+min_radius=inf", "min_radius is 0 to 1000000"),
        ("circles:2+min_radius=1000001", "min_radius is 0 to 1000000"),
        ("circles:2+min_radius=1,min_radius=2", "min_radius is said twice"),
        ("circles:2+min_radius=20,max_radius=10", "min_radius=20 is above max_radius=10"),
        ("circles:2+label=a b", "label is 1 to 50 letters"),
    ],
)
def test_what_is_no_version_is_said_with_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Version.read(text)


def test_the_parameters_are_those_of_the_model_server() -> None:
    assert set(PARAMETERS) == set(Parameters._fields)
