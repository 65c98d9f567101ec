"""Who a credential is of, and how often they may call."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Self

import limits
import psycopg
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from query_api.access import keys
from query_api.access.caller import Caller
from query_api.access.known import Known
from query_api.access.seal import Seal
from query_api.access.tokens import Tokens
from query_api.errors import Problem
from streams.settings import Settings


class InvalidKey(Exception):
    """No key in force has this text. The request gets 401; `who` is the id in it, for the audit log."""

    def __init__(self, key_id: str) -> None:
        super().__init__("no such API key, or it was revoked or has expired")
        self.who = f"key {key_id}" if key_id else "nobody"


class Callers:
    """Knows keys and tokens. Use as a context manager."""

    def __init__(self, settings: Settings, seal: Seal) -> None:
        self._seal = seal
        self._catalog_url = settings.catalog_url.get_secret_value()
        self._pool = keys.keys_pool(self._catalog_url)
        self._keys = Known(
            partial(keys.in_force, self._pool),
            fresh_s=keys.FRESH_S, again_s=keys.AGAIN_S, stale_s=keys.STALE_S,
        )  # fmt: skip
        self._tokens = Tokens(settings) if settings.oidc_issuer else None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._prepare)
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    def _prepare(self) -> None:
        with psycopg.connect(self._catalog_url, connect_timeout=3) as connection:
            keys.create_table(connection)
            self._seal.load(connection)

    def known(self, credential: str) -> Caller | None:
        """Who it is of, where that is known without asking anyone, as it is of nearly every request."""
        key = self._keys.fresh(keys.id_in(credential))
        if key is not None:
            return key.caller if keys.opens(key, credential) else None
        return self._tokens.known(credential) if self._tokens else None

    async def caller(self, credential: str) -> Caller:
        """Who it is of. Raises InvalidKey, InvalidToken, Unavailable."""
        if credential.startswith(keys.PREFIX) or self._tokens is None:
            key_id = keys.id_of(credential)
            key = await self._keys.get(key_id) if key_id else None
            if key is None or not keys.opens(key, credential):
                raise InvalidKey(key_id)
            return key.caller
        return await self._tokens.caller(credential)


class Rates:
    """How often each caller may call, counted in this process; an empty `rate` is any number."""

    def __init__(self, rate: str) -> None:
        self._limit = limits.parse(rate) if rate else None
        # Its storage starts threads, so there is none where nothing is counted.
        self._counts = FixedWindowRateLimiter(MemoryStorage()) if rate else None

    def count(self, caller: Caller) -> None:
        """Raises Problem 429."""
        if self._limit is None or self._counts is None or self._counts.hit(self._limit, caller.name):
            return
        ends = self._counts.get_window_stats(self._limit, caller.name).reset_time
        wait_s = max(1, round(ends - time.time() + 0.5))
        raise Problem(429, f"more than {self._limit}; the next in {wait_s} s", {"Retry-After": str(wait_s)})
