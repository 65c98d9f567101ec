"""API keys in a real PostgreSQL: made, listed, revoked, and looked up while it is away."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from deploy.cli import cli
from deploy.local.postgres import running_postgres
from query_api.access import keys
from query_api.access.caller import Caller
from query_api.access.callers import Callers, InvalidKey
from query_api.access.known import Unavailable
from query_api.access.seal import Seal
from streams.settings import Settings
from tests.integration.access import key

KEY = re.compile(r"circles_[0-9a-f]{12}_[\w-]{43}\n", re.ASCII)


@pytest.fixture(scope="module")
def catalog(postgres: str) -> Settings:
    return Settings(auth="on", catalog_url=SecretStr(postgres))


@pytest.fixture
def commands(catalog: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("CATALOG_URL", catalog.catalog_url.get_secret_value())
    return CliRunner()


def test_a_key_is_made_shown_once_listed_and_revoked(commands: CliRunner, catalog: Settings) -> None:
    asked = [
        "keys",
        "create",
        "hall",
        "--right",
        "ingest",
        "--right",
        "read",
        "--project",
        "p",
        "--expires",
        "30d",
    ]
    made = commands.invoke(cli, asked)
    assert KEY.fullmatch(made.stdout), made.output
    key_id = keys.id_of(made.stdout.strip())
    with psycopg.connect(catalog.catalog_url.get_secret_value()) as connection:
        row = str(
            connection.execute("SELECT k::text FROM access.keys k WHERE key_id = %s", [key_id]).fetchall()
        )
    assert made.stdout.strip()[-43:] not in row
    listed = commands.invoke(cli, ["keys", "list"]).stdout
    assert re.search(rf"{key_id} .* hall .* ingest read .* p .* until ", listed), listed
    assert commands.invoke(cli, ["keys", "revoke", key_id]).exit_code == 0
    assert re.search(rf"{key_id} .* no, revoked", commands.invoke(cli, ["keys", "list"]).stdout)
    assert isinstance(commands.invoke(cli, ["keys", "revoke", key_id]).exception, keys.NoSuchKey)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--right", "read"], "--project NAME, or --all-projects"),
        (["--right", "read", "--project", "p", "--all-projects"], "--project NAME, or --all-projects"),
        (["--right", "write", "--project", "p"], "administer, ingest, read"),
        (["--right", "read", "--project", "*"], "letters, digits"),
        (["--right", "read", "--project", "p", "--expires", "soon"], "30d, 12h or 15m"),
    ],
)
def test_a_key_that_cannot_be_is_refused(commands: CliRunner, arguments: list[str], said: str) -> None:
    assert said in str(commands.invoke(cli, ["keys", "create", "x", *arguments]).exception)


def test_a_key_names_its_caller_and_no_other_text_does(catalog: Settings) -> None:
    text = key(catalog, "p", "read")
    key_id, secret = keys.id_of(text), text[-43:]
    other = key(catalog, None, "administer")

    async def run() -> None:
        async with Callers(catalog, Seal()) as callers:
            assert await callers.caller(text) == Caller(f"key {key_id}", frozenset({"read"}), "p")
            assert (await callers.caller(other)).project is None
            for wrong in (
                text[:-1], f"{text}x", f" {text}", text.upper(), f"circles_{key_id}_{other[-43:]}",
                f"circles_{'0' * 12}_{secret}", f"circles_{key_id}_", secret, "", "a.b.c", "\xe9" * 70,
            ):  # fmt: skip
                with pytest.raises(InvalidKey):
                    await callers.caller(wrong)

    asyncio.run(run())


def test_a_new_key_is_taken_at_once_and_a_revoked_one_refused_within_two_seconds(catalog: Settings) -> None:
    async def run() -> None:
        async with Callers(catalog, Seal()) as callers:
            await callers.caller(key(catalog, "p"))
            text = key(catalog, "p")
            await callers.caller(text)
            with psycopg.connect(catalog.catalog_url.get_secret_value()) as connection:
                keys.revoke(connection, keys.id_of(text))
            asked = revoked = time.monotonic()
            with pytest.raises(InvalidKey):  # noqa: PT012
                while asked < revoked + 2:  # the answer has any time
                    await callers.caller(text)
                    await asyncio.sleep(0.01)
                    asked = time.monotonic()

    asyncio.run(run())


def test_a_key_ends_at_its_moment(catalog: Settings) -> None:
    async def run() -> None:
        async with Callers(catalog, Seal()) as callers:
            ends = datetime.now(UTC) + timedelta(seconds=5)
            with psycopg.connect(catalog.catalog_url.get_secret_value()) as connection:
                text = keys.create(connection, "short", ["read"], "p", ends).text
            await callers.caller(text)
            await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 0.1)
            with pytest.raises(InvalidKey):
                await callers.caller(text)

    asyncio.run(run())


def test_while_postgresql_is_away_known_keys_go_on_and_unknown_ones_are_not_refused(tmp_path: Path) -> None:
    async def run() -> None:
        with running_postgres(tmp_path) as url:
            settings = Settings(auth="on", catalog_url=SecretStr(url))
            text, unseen = key(settings, "p"), f"circles_{'0' * 12}_{'x' * 43}"
            callers = await Callers(settings, Seal()).__aenter__()
            known = await callers.caller(text)
        try:
            await asyncio.sleep(keys.FRESH_S)
            for _ in range(3):
                assert await callers.caller(text) == known
                with pytest.raises(Unavailable):
                    await callers.caller(unseen)
        finally:
            with suppress(psycopg.Error):
                await callers.__aexit__()

    asyncio.run(run())
