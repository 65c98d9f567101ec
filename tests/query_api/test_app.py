"""Where the API listens, and what it tells of its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from query_api.app import create_app, refuse_open_host
from query_api.status import Log, _shown, routes
from query_api.view.reading import View
from streams.errors import MissingSetting
from streams.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_is_listened_on(host: str) -> None:
    refuse_open_host(host)


OPEN = ["0.0.0.0", "::", "192.168.1.7", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"]  # noqa: S104


@pytest.mark.parametrize("host", OPEN)
def test_nothing_listens_beyond_loopback_without_authentication(host: str) -> None:
    with pytest.raises(SystemExit, match=f"API_HOST={host} is not loopback and no authentication"):
        refuse_open_host(host)


@pytest.mark.parametrize(("auth", "said"), [("off", "Set AUTH=on"), ("on", "CATALOG_URL is not set")])
def test_the_process_listens_beyond_loopback_once_it_asks_who_calls(
    tmp_path: Path, auth: str, said: str
) -> None:
    given = {
        "CIRCLES_DATA_DIR": str(tmp_path), "API_HOST": "0.0.0.0", "AUTH": auth,  # noqa: S104
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }  # fmt: skip
    ours = {
        name: value for name, value in os.environ.items() if name not in ("CATALOG_URL", "API_ALLOW_REMOTE")
    }
    ended = subprocess.run(
        [sys.executable, "-m", "query_api"], env=ours | given, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert ("is not loopback" in ended.stderr) == (auth == "off")


@pytest.mark.parametrize("host", ["example.org", "", "localhost.example.org", "127.0.0.1.nip.io"])
def test_a_name_that_is_not_known_to_be_loopback_is_refused_in_the_same_words(host: str) -> None:
    with pytest.raises(SystemExit, match="is not loopback"):
        refuse_open_host(host)


def test_an_api_without_its_parts_says_which() -> None:
    with pytest.raises(MissingSetting, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        create_app(Settings(kafka_bootstrap_servers="", catalog_url=SecretStr("postgresql:///x")))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (SecretStr("postgresql://u:hidden@h/d"), "set"),
        (SecretStr(""), ""),
        ("s3://key:hidden@bucket/prefix?secret=hidden", "s3://bucket/prefix"),
        ("http://u:hid%40den@h:80/p", "http://h:80/p"),
        ("http://token_hidden@h", "http://h"),
        ("http://h:80/p", "http://h:80/p"),
        ("", ""), ("text", "text"), (3, 3), (0.5, 0.5), (True, True), (None, None),
    ],
)  # fmt: skip
def test_a_setting_is_shown_without_what_opens_doors(value: Any, shown: Any) -> None:
    assert _shown(value) == shown


def test_config_has_every_setting_and_no_secret() -> None:
    names = ("storage_url", "schema_registry_url", "model_server_url", "api_url")
    urls = dict.fromkeys(names, "https://user:hidden@127.0.0.1:1/p?token=hidden")
    settings = Settings(
        kafka_bootstrap_servers="127.0.0.1:1", catalog_url=SecretStr("postgresql://u:hidden@127.0.0.1:1/d")
    ).model_copy(update=urls)
    app = FastAPI()
    app.include_router(routes(settings, View(settings), Log(settings)))
    answer = TestClient(app).get("/config")
    assert answer.status_code == 200
    assert answer.json().keys() == Settings.model_fields.keys()
    assert "hidden" not in answer.text
    assert answer.json()["storage_url"] == "https://127.0.0.1:1/p"
