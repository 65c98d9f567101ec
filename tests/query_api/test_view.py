"""What a read of the view ends with when it cannot be made."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from query_api.errors import ViewUnavailable
from query_api.view import View
from streams.settings import Settings


def test_a_store_that_refuses_makes_the_view_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hidden")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    view = View(Settings(catalog_url=SecretStr("postgresql://127.0.0.1:1/x"), lake_url="s3://bucket"))
    with pytest.raises(ViewUnavailable, match="catalog or file store does not answer"):
        asyncio.run(view.rows("folded"))
