"""The table of models."""

from __future__ import annotations

import numpy as np
import pytest

from detector import detect, models
from detector.circles import is_valid
from detector.errors import UnknownModel


def add_dummies(monkeypatch: pytest.MonkeyPatch, *versions: str) -> None:
    more = tuple(models.Model("circles", version, models.dummy) for version in versions)
    monkeypatch.setattr(models, "MODELS", models.MODELS + more)


def test_newest_version_is_by_number_not_by_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    add_dummies(monkeypatch, "99", "100")
    assert models.find("circles").version == "100"
    assert models.find("circles", "99").version == "99"


def test_detect_is_the_newest_version(monkeypatch: pytest.MonkeyPatch) -> None:
    blank = np.zeros((100, 100), np.uint8)
    assert len(detect(blank)) == 0
    add_dummies(monkeypatch, "99")
    assert len(detect(blank)) == 1


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 1), ({"min_score": 1.0}, 1), ({"min_radius": 20}, 1), ({"min_radius": 20.5}, 0),
        ({"max_radius": 20}, 1), ({"max_radius": 19.5}, 0),
    ],
)  # fmt: skip
def test_what_is_asked_for_filters(asked: dict[str, float], count: int) -> None:
    assert len(models.find("dummy").detect(np.zeros((5, 5), np.uint8), **asked)) == count


@pytest.mark.parametrize(("name", "version"), [("squares", None), ("circles", "77")])
def test_unknown_model_names_those_there_are(name: str, version: str | None) -> None:
    with pytest.raises(UnknownModel, match=r"circles:1, .*dummy:1"):
        models.find(name, version)


def test_dummy_is_one_fixed_circle() -> None:
    (found,) = models.find("dummy").detect(np.zeros((5, 5), np.uint8))
    assert found.tolist() == (30, 30, 20, 1, 10, 10, 50, 50, 20, 20, 0)
    assert is_valid(found)
