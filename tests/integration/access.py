"""What tests of a running API with authentication share."""

from __future__ import annotations

import httpx

from query_api.access import keys
from streams import lake
from streams.settings import Settings


def key(settings: Settings, project: str | None, *rights: str) -> str:
    """The text of a new key."""
    with lake.catalog(settings) as catalog:
        return keys.create(catalog, "test", rights or ("ingest", "read"), project).text


def client(settings: Settings, credential: str = "") -> httpx.Client:
    """Calls the API, with a credential where one is given."""
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return httpx.Client(base_url=settings.api_url, headers=headers, timeout=60)
