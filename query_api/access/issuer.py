"""The public keys of the issuer of tokens (RFC 7517), fetched over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from query_api.access.known import Unavailable
from streams.settings import Settings, is_https

TIMEOUT_S = 5.0
MOST_BYTES = 500_000
FRESH_S, AGAIN_S, STALE_S = 300.0, 10.0, 3600.0
PublicKey = RSAPublicKey | EllipticCurvePublicKey


async def public_keys(settings: Settings) -> Mapping[str, PublicKey]:
    """The issuer's keys by `kid` that can sign with the pinned algorithm. Raises Unavailable."""
    # On a thread: httpx reads certificates from disk, and an issuer's document may be large.
    return await asyncio.to_thread(
        _fetch, settings.oidc_issuer, settings.oidc_jwks_url, settings.oidc_algorithm
    )


def _fetch(issuer: str, jwks_url: str, algorithm: str) -> Mapping[str, PublicKey]:
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
            ask = partial(_document, client, time.monotonic() + TIMEOUT_S)
            if not jwks_url:
                found = ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                jwks_url = found["jwks_uri"]
                if found["issuer"] != issuer or not is_https(jwks_url):
                    raise Unavailable(
                        "the issuer's discovery document is another's, or leads away from HTTPS"
                    )
            listed = ask(jwks_url)["keys"]
            return {jwk["kid"]: key for jwk in listed if (key := _usable(jwk, algorithm))}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"the issuer's keys cannot be read: {type(error).__name__}") from error


def _document(client: httpx.Client, deadline: float, url: str) -> Any:
    data = b""
    with client.stream("GET", url) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes(65_536):
            data += chunk
            if len(data) > MOST_BYTES or time.monotonic() > deadline:
                raise Unavailable("the issuer's document is too large, or takes too long")
    return orjson.loads(data)


def _usable(jwk: dict[str, Any], algorithm: str) -> PublicKey | None:
    """The key, where it is for signing with this algorithm and strong enough for that."""
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm or not jwk.get("kid"):
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm).key
    except jwt.PyJWTError:
        return None  # of another type, or broken; others of the set may do
    if algorithm == "RS256":
        return key if isinstance(key, RSAPublicKey) and key.key_size >= 2048 else None
    return key if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None
