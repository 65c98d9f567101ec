"""A short run of `python -m tests.schemas_fuzz`: answers are as the OpenAPI document says, none is a 5xx."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Fresh
from tests.schemas_fuzz import AGAIN, FUZZED, PHASES, schemathesis, stack


@pytest.mark.parametrize(("auth", "phases"), [("off", AGAIN), ("on", PHASES)])
def test_answers_are_as_the_document_says(fresh: Fresh, auth: str, phases: str) -> None:
    settings = fresh(**FUZZED, auth=auth)
    with stack(settings) as credential:
        status, requests, said = schemathesis(settings, 110, 1, credential, phases)
    assert status == 0, said
    assert requests > 100
