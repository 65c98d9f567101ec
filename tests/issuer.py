"""An issuer of tokens on this machine, and tokens that it signs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from streams.settings import Settings

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
SHORT_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505
EC = ec.generate_private_key(ec.SECP256R1())


def jwk(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str, **more: object) -> dict[str, Any]:
    algorithm: Any = (
        jwt.algorithms.RSAAlgorithm if isinstance(private, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    )
    return {**algorithm.to_jwk(private.public_key(), as_dict=True), "kid": kid, **more}


class Issuer(BaseHTTPRequestHandler):
    """Serves what the test put into `documents`, by path."""

    documents: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = self.documents.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def publish(*keys: dict[str, Any]) -> None:
    Issuer.documents["/keys"] = json.dumps({"keys": keys}).encode()


def settings(issuer: str, **more: Any) -> Settings:
    return Settings(auth="on", oidc_issuer=issuer, oidc_audience="circles", **more)


def claims(issuer: str, **more: Any) -> dict[str, Any]:
    """A token's content that is taken; None leaves a claim out."""
    whole = {
        "iss": issuer, "aud": "circles", "sub": "camera-7", "scope": "read ingest else", "project": "hall",
        "exp": datetime.now(UTC) + timedelta(minutes=5),
    } | more  # fmt: skip
    return {name: value for name, value in whole.items() if value is not None}


def signed(content: dict[str, Any], key: Any = RSA, algorithm: str = "RS256", **header: Any) -> str:
    return jwt.encode(content, key, algorithm, {"kid": "r"} | header)


@contextmanager
def running() -> Iterator[str]:
    """Its address; it publishes nothing yet."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def begin(url: str) -> None:
    """Publish an RSA key `r` and an EC key `e`, by discovery."""
    Issuer.asked.clear()
    Issuer.documents.clear()
    publish(jwk(RSA, "r"), jwk(EC, "e"))
    discovery = {"issuer": url, "jwks_uri": f"{url}/keys"}
    Issuer.documents["/.well-known/openid-configuration"] = json.dumps(discovery).encode()
