"""Tokens of an issuer, with its keys on a real HTTP server: what is taken, and every attack that is not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given

from query_api.access.caller import Caller
from query_api.access.known import Unavailable
from query_api.access.tokens import InvalidToken, Tokens
from streams.settings import Settings
from tests.issuer import (
    EC,
    OTHER_RSA,
    RSA,
    SHORT_RSA,
    Issuer,
    begin,
    claims,
    jwk,
    publish,
    running,
    settings,
    signed,
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running() as url:
        yield url


@pytest.fixture(autouse=True)
def issuer(url: str) -> str:
    """The issuer's address; it publishes an RSA key `r` and an EC key `e`."""
    begin(url)
    return url


def caller(settings: Settings, token: str) -> Caller:
    return asyncio.run(Tokens(settings).caller(token))


def test_a_token_of_the_issuer_names_its_caller_with_rights_and_project(issuer: str) -> None:
    named = Caller("token 'camera-7'", frozenset({"read", "ingest"}), "hall")
    assert caller(settings(issuer), signed(claims(issuer))) == named
    by_es = settings(issuer, oidc_algorithm="ES256", oidc_jwks_url=f"{issuer}/keys")
    assert caller(by_es, signed(claims(issuer), EC, "ES256", kid="e")) == named


def test_claims_have_the_names_that_settings_give_them(issuer: str) -> None:
    token = signed(claims(issuer, permissions=["administer", 1, "root"], org="*", sub="root"))
    ours = settings(issuer, oidc_rights_claim="permissions", oidc_project_claim="org")
    assert caller(ours, token) == Caller("token 'root'", frozenset({"administer"}), None)


@pytest.mark.parametrize("granted", [None, "", "readx", 7, {"read": True}, [["read"]]])
def test_a_token_that_grants_nothing_has_no_right(issuer: str, granted: Any) -> None:
    assert caller(settings(issuer), signed(claims(issuer, scope=granted))).rights == frozenset()


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content, default=str).encode()).decode().rstrip("=")


def by_hand(header: dict[str, Any], content: dict[str, Any], secret: bytes | None) -> str:
    """A token as no library would make it: unsigned, or with HMAC under any secret."""
    text = f"{part(header)}.{part(content | {'exp': int(time.time()) + 300})}"
    made = hmac.new(secret, text.encode(), hashlib.sha256).digest() if secret is not None else b""
    return f"{text}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"


def hour(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


ATTACKS: dict[str, Any] = {
    "alg none": lambda i: by_hand({"alg": "none", "kid": "r"}, claims(i), None),
    "alg None": lambda i: by_hand({"alg": "None", "kid": "r"}, claims(i), None),
    "HS256 with the public key": lambda i: by_hand({"alg": "HS256", "kid": "r"}, claims(i), pem(RSA)),
    "RS256 that is HS256": lambda i: by_hand({"alg": "RS256", "kid": "r"}, claims(i), pem(RSA)),
    "algorithm not the pinned one": lambda i: signed(claims(i), RSA, "RS512"),
    "EC key where RS256 is pinned": lambda i: signed(claims(i), EC, "ES256", kid="e"),
    "another's key under a known kid": lambda i: signed(claims(i), OTHER_RSA),
    "kid of another key": lambda i: signed(claims(i), kid="e"),
    "unknown kid": lambda i: signed(claims(i), kid="x"),
    "kid that is no text": lambda i: by_hand({"alg": "RS256", "kid": ["r"]}, claims(i), b""),
    "no kid": lambda i: jwt.encode(claims(i), RSA, "RS256"),
    "its own key in jwk": lambda i: signed(claims(i), OTHER_RSA, kid="m", jwk=jwk(OTHER_RSA, "m")),
    "its own keys at jku": lambda i: signed(claims(i), OTHER_RSA, kid="m", jku=f"{i}/mine", x5u=f"{i}/mine"),
    "critical extension": lambda i: signed(claims(i), crit=["b64"], b64=False),
    "another audience": lambda i: signed(claims(i, aud="others")),
    "no audience": lambda i: signed(claims(i, aud=None)),
    "another issuer": lambda i: signed(claims(i, iss="https://evil.example")),
    "no issuer": lambda i: signed(claims(i, iss=None)),
    "expired": lambda i: signed(claims(i, exp=hour(-1))),
    "no expiry": lambda i: signed(claims(i, exp=None)),
    "not yet": lambda i: signed(claims(i, nbf=hour(1))),
    "issued later": lambda i: signed(claims(i, iat=hour(1))),
    "no subject": lambda i: signed(claims(i, sub=None)),
    "no project": lambda i: signed(claims(i, project=None)),
    "a project that is none": lambda i: signed(claims(i, project="a b")),
    "a list of projects": lambda i: signed(claims(i, project=["hall"])),
    "deep header": lambda _: base64.urlsafe_b64encode(b'{"a":' + b"[" * 5000).decode() + ".e30.",
    "long": lambda i: signed(claims(i, more="x" * 9000)),
    "changed content": lambda i: ".".join(
        [(whole := signed(claims(i)).split("."))[0], part(claims(i, scope="administer")), whole[2]]
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_the_issuer_did_not_make_for_us_is_refused(issuer: str, attack: str) -> None:
    Issuer.documents["/mine"] = json.dumps({"keys": [jwk(OTHER_RSA, "m")]}).encode()
    with pytest.raises(InvalidToken):
        caller(settings(issuer), ATTACKS[attack](issuer))
    assert "/mine" not in Issuer.asked


def test_no_text_does_anything_else(issuer: str) -> None:
    @given(st.one_of(st.text(st.characters(max_codepoint=255)), st.text("eyJ0.-_A{}")))
    def refused(text: str) -> None:
        with pytest.raises(InvalidToken):
            caller(settings(issuer), text)

    refused()


@pytest.mark.parametrize(
    "key",
    [
        jwk(RSA, "r", use="enc"), jwk(RSA, "r", alg="RS512"), jwk(SHORT_RSA, "r"),
        {"kty": "oct", "kid": "r", "k": "c2VjcmV0"}, {"kty": "RSA", "kid": "r"}, {"kid": "r"},
    ],
    ids=["for encryption", "for another algorithm", "1024 bits", "a secret", "without numbers", "of no type"],
)  # fmt: skip
def test_a_key_that_is_not_for_this_is_none_of_the_issuers(issuer: str, key: dict[str, Any]) -> None:
    publish(key, jwk(OTHER_RSA, "good"))
    assert caller(settings(issuer), signed(claims(issuer), OTHER_RSA, kid="good"))
    with pytest.raises(InvalidToken, match="none of the issuer's"):
        caller(settings(issuer), signed(claims(issuer)))


@pytest.mark.parametrize(
    "documents",
    [
        {"/keys": b"not json"}, {"/keys": b"[]"}, {"/keys": b'{"keys": [1]}'}, {"/keys": b" " * 600_000},
        {"/.well-known/openid-configuration": b'{"issuer": "https://evil.example", "jwks_uri": "https://x/"}'},
        {"/.well-known/openid-configuration": b"{}"},
    ],
    ids=["no JSON", "a list", "no keys", "too large", "another's discovery", "empty discovery"],
)  # fmt: skip
def test_an_issuer_that_does_not_answer_well_is_unavailable(issuer: str, documents: dict[str, bytes]) -> None:
    Issuer.documents.update(documents)
    with pytest.raises(Unavailable):
        caller(settings(issuer), signed(claims(issuer)))


def test_discovery_does_not_lead_away_from_https(issuer: str) -> None:
    away = {"issuer": issuer, "jwks_uri": "http://issuer.example/keys"}
    Issuer.documents["/.well-known/openid-configuration"] = json.dumps(away).encode()
    with pytest.raises(Unavailable):
        caller(settings(issuer), signed(claims(issuer)))


def test_keys_are_fetched_once_and_unknown_ones_do_not_have_them_fetched_at_will(issuer: str) -> None:
    async def run() -> None:
        tokens = Tokens(settings(issuer))
        for _ in range(20):
            await tokens.caller(signed(claims(issuer, jti=str(time.perf_counter()))))
            with pytest.raises(InvalidToken):
                await tokens.caller(signed(claims(issuer), OTHER_RSA, kid=f"x{time.perf_counter()}"))

    asyncio.run(run())
    assert Issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_a_verified_token_is_refused_once_it_has_expired(
    issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("query_api.access.tokens.LEEWAY_S", 0)

    async def run() -> None:
        ends = time.time() + 5
        tokens, token = Tokens(settings(issuer)), signed(claims(issuer, exp=ends))
        assert (await tokens.caller(token)).project == "hall"
        assert (await tokens.caller(token)).project == "hall"
        await asyncio.sleep(ends - time.time() + 0.1)
        with pytest.raises(InvalidToken):
            await tokens.caller(token)

    asyncio.run(run())
