"""Bearer tokens of an OIDC issuer (RFC 7519), verified here: who they name, with which rights."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from typing import Any

import jwt

from query_api.access import issuer
from query_api.access.caller import EVERY, RIGHTS, Caller, project_name
from query_api.access.known import Known
from streams.settings import Settings

LEEWAY_S = 30
"""Between the issuer's clock and ours."""
KEEP_S = 60.0
"""How long a token that was verified is not verified again: a signature costs as much as a small answer."""
MOST = 10_000
LONGEST = 8192


class InvalidToken(Exception):
    """The token is not one that the issuer made for us, or not now. The request gets 401."""


class Tokens:
    """Verifies tokens; the issuer's keys are fetched when the first one comes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Known(
            partial(issuer.public_keys, settings),
            fresh_s=issuer.FRESH_S,
            again_s=issuer.AGAIN_S,
            stale_s=issuer.STALE_S,
        )
        self._verified: dict[bytes, tuple[Caller, float]] = {}

    def known(self, token: str) -> Caller | None:
        """Who the token names, where it was verified a moment ago."""
        caller, until = self._verified.get(_digest(token), (None, 0.0))
        return caller if time.time() < until else None

    async def caller(self, token: str) -> Caller:
        """Who the token names. Raises InvalidToken, Unavailable."""
        claims = await self._claims(token)
        caller = self._named(claims)
        if len(self._verified) >= MOST:
            self._verified.clear()
        self._verified[_digest(token)] = caller, min(time.time() + KEEP_S, claims["exp"] + LEEWAY_S)
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        algorithm = self._settings.oidc_algorithm
        try:
            if len(token) > LONGEST:
                raise InvalidToken("the token is too long")
            # Nothing else of the header is believed: no algorithm, key or address of keys that it brings.
            header = jwt.get_unverified_header(token)
            if header.get("alg") != algorithm:
                raise InvalidToken(f"the token is not signed with {algorithm}")
            key = await self._keys.get(str(header.get("kid")))
            if key is None:
                raise InvalidToken("the token's key is none of the issuer's")
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
            raise InvalidToken(f"the token does not hold: {type(error).__name__}") from error

    def _named(self, claims: dict[str, Any]) -> Caller:
        granted = claims.get(self._settings.oidc_rights_claim)
        words = granted.split() if isinstance(granted, str) else granted
        rights = frozenset(right for right in RIGHTS if isinstance(words, list) and right in words)
        project: Any = claims.get(self._settings.oidc_project_claim)
        try:
            of = None if project == EVERY else project_name(project)
        except (ValueError, TypeError) as error:
            name = self._settings.oidc_project_claim
            raise InvalidToken(f"the token's claim {name!r} names no project; {EVERY!r} means all") from error
        return Caller(f"token {claims['sub'][:200]!r}", rights, of)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()  # so that memory does not hold what opens doors
