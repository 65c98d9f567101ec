"""The running API with authentication: who is let in, what is said to others, and what the log has of it."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from query_api.access import keys
from query_api.access.callers import Callers, Rates
from query_api.access.guard import Guard
from query_api.access.rules import Table
from query_api.access.seal import Seal
from streams.settings import Settings
from tests import issuer
from tests.integration.access import client, key
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, stages


@pytest.fixture(scope="module")
def guarded(fresh: Fresh) -> Iterator[Settings]:
    settings = fresh(
        mode="dummy", auth="on", detection_wait_s=30, log_json=True, api_key=SecretStr("hidden-key")
    )
    with stages(settings):
        yield settings


def upload(api: httpx.Client, data: bytes, **more: str) -> httpx.Response:
    return api.post("/images/", files={"file": ("picture", data)}, data=more)


def audited(settings: Settings) -> list[dict[str, Any]]:
    """What the API's audit log has."""
    lines = (settings.data_dir / "logs" / "api.log").read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line.get("name") == "audit"]


@pytest.mark.parametrize("path", ["/images", "/status", "/config", "/images/1/content"])
def test_who_shows_nothing_is_asked_for_a_key(guarded: Settings, path: str) -> None:
    with client(guarded) as api:
        answer = api.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="circles"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Authorization: Bearer" in answer.json()["detail"]


def test_replays_and_promotions_are_for_who_administers_all_projects(guarded: Settings) -> None:
    reads, administers = key(guarded, None, "read"), key(guarded, None, "administer")
    of_one = key(guarded, "p", "read", "administer")
    changes = {
        "/replays": {"model": "circles:2"},
        "/promotions": {"model": "circles:2"},
        f"/replays/{UUID(int=1)}/pause": {},
    }
    with client(guarded, reads) as reader, client(guarded, of_one) as limited:
        for path, body in changes.items():
            assert reader.post(path, json=body).status_code == 403
            assert limited.post(path, json=body).status_code == 403
        for path in ("/replays", "/promotions"):
            assert reader.get(path).status_code == 200
            assert limited.get(path).status_code == 403
    with client(guarded, administers) as api:
        assert {api.post(path, json=body).status_code for path, body in changes.items()} == {404, 409}


def test_the_page_its_reference_and_health_ask_nobody(guarded: Settings) -> None:
    with client(guarded) as api:
        for path in ("/", "/docs", "/openapi.json", "/health"):
            assert api.get(path).status_code == 200, path
        assert api.get("/nowhere").status_code == 404


def test_a_wrong_key_is_refused_and_audited_without_its_secret(guarded: Settings) -> None:
    text = key(guarded, "p")
    wrong = text[:-4] + ("aaaa" if text[-4:] != "aaaa" else "bbbb")
    for headers in ({"Authorization": f"bearer {wrong}"}, {"X-API-Key": wrong}):
        answer = httpx.get(f"{guarded.api_url}/images?key={wrong}", headers=headers, timeout=60)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert wrong[-43:] not in answer.text
    line = audited(guarded)[-1]
    facts = {"who": f"key {keys.id_of(text)}", "client": "127.0.0.1", "method": "GET", "path": "/images"}
    assert line == line | facts | {"status": 401, "levelname": "WARNING"}
    logs = "".join(path.read_text() for path in (guarded.data_dir / "logs").iterdir())
    assert wrong[-43:] not in logs
    assert text[-43:] not in logs


def test_a_right_that_is_missing_is_named_and_each_opens_its_own_routes(guarded: Settings) -> None:
    may = {"read": "/images", "administer": "/config"}
    for right, path in may.items():
        with client(guarded, key(guarded, None, right)) as api:
            assert api.get(path).status_code == 200
            for other in set(may.values()) - {path}:
                assert api.get(other).status_code == 403
            refused = upload(api, picture(1))
            assert (refused.status_code, refused.json()["detail"]) == (403, "this needs the right ingest")
            assert 'scope="ingest"' in refused.headers["www-authenticate"]
    assert audited(guarded)[-1]["reason"] == "this needs the right ingest"
    with client(guarded, key(guarded, None, "ingest")) as api:
        assert upload(api, picture(2)).status_code == 201
        assert [api.get(path).status_code for path in may.values()] == [403, 403]


def test_an_upload_goes_to_the_callers_project_and_no_other(guarded: Settings) -> None:
    with (
        client(guarded, key(guarded, "a")) as a,
        client(guarded, key(guarded, "b")) as b,
        client(guarded, key(guarded, None)) as every,
    ):
        first = upload(a, picture(3))
        assert first.status_code == 201
        assert upload(a, picture(3), project="a").json()["image_id"] == first.json()["image_id"]  # 409
        other = upload(b, picture(3))
        assert other.status_code == 201
        assert other.json()["image_id"] != first.json()["image_id"]
        refused = upload(b, picture(4), project="a")
        assert (refused.status_code, "project b only" in refused.json()["detail"]) == (403, True)
        assert audited(guarded)[-1]["reason"].startswith("you upload to project b only")
        assert upload(every, picture(3), project="b").json()["image_id"] == other.json()["image_id"]
        assert upload(every, picture(3)).status_code == 201  # to the project `default`
        assert upload(every, picture(3), project="a/b").status_code == 422


def test_a_position_tells_a_caller_of_one_project_nothing_of_the_log(guarded: Settings) -> None:
    with client(guarded, key(guarded, "a")) as a, client(guarded, key(guarded, None)) as every:
        plain = upload(every, picture(5)).headers["circles-position"].partition(",")[0]
        sealed = upload(a, picture(5)).headers["circles-position"]
        assert plain.replace("-", "").isdecimal()
        assert len(sealed) == len(upload(a, picture(6)).headers["circles-position"]) > 80
        assert every.get("/images", params={"after": f"{sealed},{plain}"}).status_code == 200


def test_a_revoked_key_is_refused_within_two_seconds(guarded: Settings) -> None:
    text = key(guarded, None, "read")
    with client(guarded, text) as api:
        assert api.get("/images").status_code == 200
        with psycopg.connect(guarded.catalog_url.get_secret_value()) as catalog:
            keys.revoke(catalog, keys.id_of(text))
        asked = revoked = time.monotonic()
        while (status := api.get("/images").status_code) == 200:
            assert asked < revoked + 2  # the answer has any time
            time.sleep(0.05)
            asked = time.monotonic()
    assert status == 401


def test_every_answer_has_what_keeps_browsers_safe(guarded: Settings) -> None:
    with client(guarded, key(guarded, None)) as api:
        image = upload(api, picture(7)).headers["location"]
        for path in ("/", "/docs", "/nowhere", "/config", "/images", f"{image}/content"):
            headers = api.get(path).headers
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["referrer-policy"] == "no-referrer", path
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert not {"strict-transport-security", "server", "access-control-allow-origin"} & set(headers)
        assert api.get(f"{image}/content").headers["cache-control"].startswith("private")
        assert api.options(
            "/images", headers={"Origin": "https://x", "Access-Control-Request-Method": "GET"}
        ).is_error


def test_no_setting_shows_a_key(guarded: Settings) -> None:
    with client(guarded, key(guarded, None, "administer")) as api:
        config = api.get("/config")
    assert (config.json()["auth"], config.json()["api_key"]) == ("on", "set")
    logs = "".join(path.read_text() for path in (guarded.data_dir / "logs").iterdir())
    assert "hidden-key" not in config.text + logs


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that it signed itself, and its key."""
    private, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(1).not_valid_before(today - timedelta(1)).not_valid_after(today + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), True)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tls")
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert, secret


def test_with_a_certificate_the_api_speaks_https_and_says_so_for_good(
    fresh: Fresh, certificate: tuple[Path, Path]
) -> None:
    cert, secret = certificate
    plain = fresh(mode="dummy", auth="on", tls_cert_file=cert, tls_key_file=secret)
    settings = plain.model_copy(update={"api_url": plain.api_url.replace("http:", "https:")})
    with stages(settings, "api"):
        trusted = ssl.create_default_context(cafile=str(cert))
        answer = httpx.get(f"{settings.api_url}/", verify=trusted, timeout=60)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        with pytest.raises(httpx.TransportError):
            httpx.get(plain.api_url)


async def empty(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that says who was let in."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["state"]["caller"].name.encode()})


def test_each_caller_has_so_many_requests_in_a_time(postgres: str) -> None:
    settings = Settings(auth="on", catalog_url=SecretStr(postgres))
    one, other = key(settings, "p", "read"), key(settings, None, "read")

    async def statuses(guard: Guard, text: str, path: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://api") as api:
            return [await api.get(path, headers={"X-API-Key": text}) for _ in range(5)]

    async def run() -> None:
        async with Callers(settings, Seal()) as callers:
            guard = Guard(empty, callers, Rates("3/hour"), Table())
            answers = await statuses(guard, other, "/images")
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
            assert 3500 < int(answers[-1].headers["retry-after"]) <= 3601
            assert answers[0].text == f"key {keys.id_of(other)}"
            # Requests that are refused count, too.
            answers = await statuses(guard, one, "/config")
            assert [answer.status_code for answer in answers] == [403, 403, 403, 429, 429]

    asyncio.run(run())


def test_an_issuers_token_is_let_in_beside_keys(postgres: str) -> None:
    async def run(settings: Settings, credentials: dict[str, str]) -> dict[str, tuple[int, str]]:
        async with Callers(settings, Seal()) as callers:
            guard = Guard(empty, callers, Rates(""), Table())
            async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://api") as api:
                got = {}
                for name, text in credentials.items():
                    for _ in range(2):  # looked up, and known
                        answer = await api.get("/images", headers={"Authorization": f"Bearer {text}"})
                        got[name] = answer.status_code, answer.text[:40]
                return got

    with issuer.running() as url:
        issuer.begin(url)
        settings = issuer.settings(url).model_copy(update={"catalog_url": SecretStr(postgres)})
        text, everyone = key(settings, None, "read"), issuer.claims(url, project="*")
        found = asyncio.run(
            run(
                settings,
                {
                    "key": text,
                    "token": issuer.signed(everyone),
                    "without the right": issuer.signed(everyone | {"scope": "ingest"}),
                    "of one project": issuer.signed(issuer.claims(url)),
                    "another's": issuer.signed(everyone, issuer.OTHER_RSA),
                },
            )
        )
    assert found["key"] == (200, f"key {keys.id_of(text)}")
    assert found["token"] == (200, "token 'camera-7'")
    refused = {name: status for name, (status, _) in found.items() if status != 200}
    assert refused == {"without the right": 403, "another's": 401}
