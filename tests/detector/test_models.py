"""The table of models."""

from __future__ import annotations

import numpy as np
import pytest

from detector import detect, models
from detector.circles import is_valid
from detector.errors import UnknownModel


def test_newest_version_is_by_number_not_by_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("2", "10"):
        monkeypatch.setitem(models.MODELS, ("circles", version), models.dummy)
    assert models.find("circles").version == "10"
    assert models.find("circles", "2").version == "2"


def test_detect_is_the_newest_version(monkeypatch: pytest.MonkeyPatch) -> None:
    blank = np.zeros((100, 100), np.uint8)
    assert len(detect(blank)) == 0
    monkeypatch.setitem(models.MODELS, ("circles", "2"), models.dummy)
    assert len(detect(blank)) == 1


@pytest.mark.parametrize(("name", "version"), [("squares", None), ("circles", "7")])
def test_unknown_model_names_those_there_are(name: str, version: str | None) -> None:
    with pytest.raises(UnknownModel, match=r"circles:1, dummy:1"):
        models.find(name, version)


def test_dummy_is_one_fixed_circle() -> None:
    (found,) = models.find("dummy").detect(np.zeros((5, 5), np.uint8))
    assert found.tolist() == (30, 30, 20, 1, 10, 10, 50, 50)
    assert is_valid(found)
