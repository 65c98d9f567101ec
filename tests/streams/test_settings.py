"""Settings: one table, environment over the running stack's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from streams.errors import MissingSetting, WrongSetting
from streams.settings import STACK_ENV, Settings

CONTRACT = (
    "ENVIRONMENT", "DEBUG", "MODE", "MODEL_SERVER_URL", "MODEL_NAME", "MODEL_SERVICE_TIMEOUT",
    "MODEL_SERVICE_RETRIES", "MAX_UPLOAD_SIZE", "LOG_LEVEL", "LOG_JSON", "CORS_ORIGINS",
)  # fmt: skip
"""What an existing deployment's environment may hold (CONTRACTS.md, A+B)."""


def names() -> set[str]:
    return {field.alias or name.upper() for name, field in Settings.model_fields.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, with no setting in the environment but its place."""
    for name in names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CIRCLES_DATA_DIR", str(tmp_path))
    return tmp_path


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_setting_of_the_contract_is_one_here() -> None:
    assert set(CONTRACT) - names() == set()


def test_a_setting_is_read_from_the_variable_of_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_SERVICE_TIMEOUT", "7.5")
    monkeypatch.setenv("MODE", "dummy")
    monkeypatch.setenv("CATALOG_URL", "postgresql://a:b@c/d")
    settings = Settings.load()
    assert (settings.model_service_timeout, settings.mode) == (7.5, "dummy")
    assert settings.catalog_url.get_secret_value() == "postgresql://a:b@c/d"
    assert settings.data_dir == folder


def test_the_environment_wins_over_the_running_stack_which_wins_over_defaults(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / STACK_ENV).write_text("API_URL='http://stack'\nKAFKA_BOOTSTRAP_SERVERS='stack:1'\nOTHER='x'\n")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "environment:1")
    settings = Settings.load()
    assert settings.kafka_bootstrap_servers == "environment:1"
    assert settings.api_url == "http://stack"
    assert settings.model_name == "circles"


def test_without_a_running_stack_the_defaults_hold(folder: Path) -> None:
    assert Settings.load() == Settings(data_dir=folder)


def test_settings_do_not_change(folder: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load().mode = "dummy"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODE", "fake"), ("MODEL_SERVICE_TIMEOUT", "0"), ("MODEL_SERVICE_TIMEOUT", "60"),
        ("MODEL_SERVICE_RETRIES", "-1"), ("API_PORT", "65536"), ("MAX_UPLOAD_SIZE", "0"),
        ("LOG_LEVEL", "LOUD"), ("TOPIC_PARTITIONS", "0"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_work_is_refused_at_the_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting, match=f"^{name}={value}: "):
        Settings.load()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"oidc_issuer": "https://i", "auth": "on"}, "needs OIDC_AUDIENCE"),
        ({"oidc_issuer": "https://i", "oidc_audience": "circles"}, "and AUTH=on"),
        ({"oidc_issuer": "http://i"}, "https://"), ({"oidc_jwks_url": "http://127.0.0.1.nip.io/k"}, "https://"),
        ({"oidc_issuer": "file:///etc"}, "https://"), ({"oidc_algorithm": "HS256"}, "'RS256' or 'ES256'"),
        ({"oidc_algorithm": "none"}, "'RS256' or 'ES256'"), ({"auth": "maybe"}, "'off' or 'on'"),
        ({"rate_limit": "many"}, "600/minute"), ({"rate_limit": "0/minute"}, "600/minute"),
        ({"tls_cert_file": "c.pem"}, "set together"), ({"tls_key_file": "k.pem"}, "set together"),
    ],
)  # fmt: skip
def test_half_a_protection_is_refused(folder: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(**values)


@pytest.mark.parametrize("name", ["kafka_bootstrap_servers", "catalog_url"])
def test_a_missing_setting_is_named_with_what_to_do(folder: Path, name: str) -> None:
    with pytest.raises(MissingSetting) as raised:
        Settings.load().require("model_name", name)
    assert str(raised.value) == (
        f"{name.upper()} is not set and no stack is running in {folder}: "
        f"start one with `circles up`, or set {name.upper()}"
    )


def test_what_is_set_is_not_missing(folder: Path) -> None:
    settings = Settings(catalog_url=SecretStr("postgresql:///x"), kafka_bootstrap_servers="a:1")
    settings.require("catalog_url", "kafka_bootstrap_servers")


def test_images_and_the_views_files_are_in_the_data_folder_unless_told_otherwise(folder: Path) -> None:
    assert Settings.load().objects_url == (folder / "objects").as_uri()
    assert Settings.load().lake_path == str(folder / "lake")
    assert Settings(storage_url="s3://bucket/prefix/").objects_url == "s3://bucket/prefix"
    assert Settings(lake_url="s3://bucket/prefix/").lake_path == "s3://bucket/prefix"


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://b.c-d/p/v=1_x.y", "/folder", "/folder/", "a folder/x", "C:\\lake"]
)
def test_the_views_files_are_in_a_folder_or_a_bucket(folder: Path, url: str) -> None:
    assert Settings(lake_url=url).lake_path == url


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hidden@bucket/p",
        "s3://",
        "s3:///p",
        "gs://bucket",
        "file:///folder",
        "s3://b/a?x=hidden",
        "s3://b/*",
    ],
)
def test_another_place_for_the_views_files_is_refused_without_being_repeated(folder: Path, url: str) -> None:
    with pytest.raises(ValueError, match="LAKE_URL is a folder, or s3://bucket/prefix") as raised:
        Settings(lake_url=url)
    assert "hidden" not in str(raised.value)


def test_a_secret_is_not_shown(folder: Path) -> None:
    assert "hidden" not in repr(Settings(catalog_url=SecretStr("postgresql://u:hidden@h/d")))


def test_the_models_version_may_have_parameters_in_one_spelling(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load().model_version == ""
    monkeypatch.setenv("MODEL_VERSION", "2+min_score=.70,min_radius=20")
    assert Settings.load().model_version == "2+min_radius=20,min_score=0.7"
    monkeypatch.setenv("MODEL_VERSION", "2+min_scor=.7")
    with pytest.raises(WrongSetting, match="there is no parameter 'min_scor': there are label"):
        Settings.load()
