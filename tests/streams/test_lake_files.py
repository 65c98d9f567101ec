"""How the environment that object_store reads becomes what DuckDB is told."""

from __future__ import annotations

import pytest

from streams.errors import LakeRefused
from streams.lake_files import access, extensions

PLACE = "s3://bucket/prefix"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_keys_without_more_reach_the_bucket_at_aws_by_its_path() -> None:
    assert access(PLACE, KEYS) == {
        "scope": "s3://bucket/prefix/", "region": "us-east-1", "endpoint": "s3.us-east-1.amazonaws.com",
        "url_style": "path", "use_ssl": True, "key_id": "key", "secret": "secret", "session_token": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AWS_REGION": "eu-1", "AWS_DEFAULT_REGION": "us-2"}, {"endpoint": "s3.eu-1.amazonaws.com"}),
        ({"AWS_DEFAULT_REGION": "us-2", "AWS_REGION": ""}, {"region": "us-2"}),
        ({"AWS_SESSION_TOKEN": "token"}, {"session_token": "token"}),
        ({"AWS_ENDPOINT_URL": "http://minio:9000/"}, {"endpoint": "minio:9000", "use_ssl": False}),
        ({"AWS_ENDPOINT": "https://[::1]:9000"}, {"endpoint": "[::1]:9000", "use_ssl": True}),
        ({"AWS_ENDPOINT_URL_S3": "http://b", "AWS_ENDPOINT_URL": "http://a"}, {"endpoint": "b"}),
        (
            {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true", "AWS_ENDPOINT_URL": "https://bucket.host"},
            {"endpoint": "host", "url_style": "vhost"},
        ),
        ({"AWS_ENDPOINT_URL": "https://bucket.host"}, {"endpoint": "bucket.host", "url_style": "path"}),
    ],
)
def test_what_is_set_changes_what_it_is_about(
    environment: dict[str, str], expected: dict[str, str | bool]
) -> None:
    told = access(PLACE, KEYS | environment)
    assert told == access(PLACE, KEYS) | told | expected


def test_without_keys_they_are_a_roles() -> None:
    assert not {"key_id", "secret", "session_token"} & access(PLACE, {}).keys()


@pytest.mark.parametrize("name", KEYS)
def test_half_of_the_keys_is_refused(name: str) -> None:
    with pytest.raises(LakeRefused, match="one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set"):
        access(PLACE, {name: "hidden"})


@pytest.mark.parametrize(
    "url", ["minio:9000", "http://", "ftp://host", "http://user:hidden@host", "http://host/path", "//host"]
)
def test_an_endpoint_that_names_no_host_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(LakeRefused, match="AWS_ENDPOINT_URL is https://host or") as raised:
        access(PLACE, KEYS | {"AWS_ENDPOINT_URL": url})
    assert "hidden" not in str(raised.value)


def test_a_folder_needs_no_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert extensions("/folder") == ()
    assert extensions(PLACE) == ("httpfs",)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert extensions(PLACE) == ("httpfs", "aws")
