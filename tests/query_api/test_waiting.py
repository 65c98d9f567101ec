"""What a wait ends with when there is nobody to ask."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from query_api.errors import ViewUnavailable
from query_api.view import View
from query_api.waiting import Waiting
from streams.settings import Settings


def test_a_catalog_that_is_away_is_not_told_as_a_lag() -> None:
    settings = Settings(catalog_url=SecretStr("postgresql://127.0.0.1:1/x"))

    async def wait() -> object:
        return await Waiting(settings, View(settings)).passed({3: 1207}, 0.3)

    with pytest.raises(ViewUnavailable, match="catalog does not answer"):
        asyncio.run(wait())
