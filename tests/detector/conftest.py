"""What several tests of the model server begin with."""

from __future__ import annotations

import pytest

from detector import models
from detector.models import Model
from tests.detector.held import Held


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Held:
    """The only one there is, whose calls last until they are let go."""
    held = Held()
    monkeypatch.setattr(models, "MODELS", (Model("circles", "1", held.detect),))
    return held
