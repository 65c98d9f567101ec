"""What is meant by `NAME:VERSION`."""

from __future__ import annotations

import pytest

from streams.errors import UnknownVersion
from streams.evaluation.version import ModelVersion, resolve

KNOWN = {("circles", "1"), ("circles", "2"), ("squares", "v1:b+c"), ("circles", "1+min_score=0.25"),
         ("circles", "2+min_radius=20")}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("circles:2", ModelVersion("circles", "2")),
        ("squares:v1:b+c", ModelVersion("squares", "v1:b+c")),
        ("circles:2+min_score=0.5", ModelVersion("circles", "2", 0.5)),
        ("circles:2+min_score=1", ModelVersion("circles", "2", 1)),
        ("squares:v1:b+c+min_score=.75", ModelVersion("squares", "v1:b+c", 0.75)),
        ("circles:1+min_score=0.5", ModelVersion("circles", "1", 0.5)),
        ("circles:1+min_score=0.25", ModelVersion("circles", "1+min_score=0.25")),
        ("circles:1+min_score=.250", ModelVersion("circles", "1+min_score=0.25")),
        ("circles:2+min_score=0.5,min_radius=20", ModelVersion("circles", "2+min_radius=20", 0.5)),
        ("circles:2+min_radius=2e1", ModelVersion("circles", "2+min_radius=20")),
    ],
)
def test_a_version_and_its_least_score(text: str, version: ModelVersion) -> None:
    assert resolve(text, KNOWN) == version


@pytest.mark.parametrize(
    "version",
    [
        ModelVersion("circles", "2"),
        ModelVersion("circles", "2", 0.125),
        ModelVersion("circles", "2+min_radius=20"),
        ModelVersion("circles", "2+min_radius=20", 0.125),
    ],
)
def test_a_version_is_written_as_it_is_read(version: ModelVersion) -> None:
    assert resolve(str(version), KNOWN) == version


def test_a_least_score_may_be_said_beside() -> None:
    assert resolve("circles:2", KNOWN, 0.5) == ModelVersion("circles", "2", 0.5)
    with pytest.raises(ValueError, match="has a least score of its own"):
        resolve("circles:2+min_score=0.5", KNOWN, 0.6)


@pytest.mark.parametrize("text", ["", "circles", "circles:", ":2"])
def test_a_name_alone_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is no NAME:VERSION, as circles:2 is"):
        resolve(text, KNOWN)


@pytest.mark.parametrize("score", ["1.5", "0.5.5", ".", "-1"])
def test_a_score_that_cannot_be_is_refused(score: str) -> None:
    with pytest.raises(ValueError, match="min_score is 0 to 1"):
        resolve(f"circles:2+min_score={score}", KNOWN)


@pytest.mark.parametrize(
    "text", ["circles:3", "circle:2", "circles:3+min_score=0.5", "circles:1+min_radius=3"]
)
def test_an_unknown_version_is_answered_with_those_there_are(text: str) -> None:
    with pytest.raises(
        UnknownVersion, match=r"but of circles:1, circles:1\+min_score=0\.25, circles:2, circles:2\+min"
    ):
        resolve(text, KNOWN)
    with pytest.raises(UnknownVersion, match="none of any model"):
        resolve(text, ())
