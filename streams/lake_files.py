"""Where the view's Parquet files are: a folder, or a bucket that speaks S3.

A bucket is reached by the AWS_* variables that the image store (object_store) reads too, so one configuration
serves both. Whether a place is the one or the other is decided here.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import obstore

from streams.errors import LakeRefused
from streams.statements import read_statements
from streams.store import opened

LIMITS = {"http_timeout": 10, "http_retries": 2}
"""Seconds of one request, and how often it is tried again. A store that hangs holds a read up for 30 s, and a
write, which begins twice and has 4 s more each time, for 84 s; by DuckDB's defaults 2 and 4.5 minutes."""

SQL = read_statements("streams", "lake_files.sql")


def in_bucket(place: str) -> bool:
    """Whether a `Settings.lake_path` is `s3://bucket/prefix`; otherwise it is a folder."""
    return place.startswith("s3://")


def extensions(place: str) -> tuple[str, ...]:
    """The extensions that DuckDB needs to read and write there."""
    if not in_bucket(place):
        return ()
    return ("httpfs", "aws") if "key_id" not in access(place, os.environ) else ("httpfs",)


def reach(connection: duckdb.DuckDBPyConnection, place: str) -> None:
    """Let a connection with the `extensions` of a place use it: credentials, time limits, the folder.

    Raises LakeRefused where a store answers that this will not work, duckdb.Error where none answers.
    """
    if not in_bucket(place):
        Path(place).mkdir(parents=True, exist_ok=True)
        return
    *settings, (secret, options) = way(place)
    for statement, _ in settings:
        connection.execute(statement)
    try:
        connection.execute(secret, options)
    except duckdb.Error:  # its text may hold what was wrong: part of a secret
        raise duckdb.IOException(
            f"no credentials for {place}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a"
            " service account, task or instance has a role"
        ) from None
    try:
        connection.execute(SQL["first_files"], {"pattern": f"{place}/none*"}).fetchall()
    except duckdb.HTTPException as error:
        if 400 <= error.status_code < 500:
            raise LakeRefused(f"LAKE_URL {place} at {options['endpoint']}: {_reason(error)}") from None
        raise


def way(place: str) -> list[tuple[str, dict[str, str | bool]]]:
    """Statements with parameters that let DuckDB use a bucket, the secret last; none are needed for a folder.

    Raises LakeRefused.
    """
    if not in_bucket(place):
        return []
    # The keys are taken from the environment, and shown by duckdb_settings().
    keys = ("s3_access_key_id", "s3_secret_access_key", "s3_session_token")
    settings = [
        *(f"SET {name} = {value}" for name, value in LIMITS.items()),
        *(f"RESET {key}" for key in keys),
    ]
    options = access(place, os.environ)
    secret = SQL["keys" if "key_id" in options else "role"]
    return [*((setting, {}) for setting in settings), (secret, options)]


def confine(connection: duckdb.DuckDBPyConnection, place: str) -> None:
    """Let what runs on this connection next read only this place, and no other file or host."""
    connection.execute(f"SET allowed_directories = [{quoted(place + '/')}]")
    if in_bucket(place):  # `s3://.../a?s3_endpoint=elsewhere` would be sent elsewhere, signed
        connection.execute("SET s3_url_compatibility_mode = true")
    connection.execute("SET enable_external_access = false")


def remove(place: str) -> None:
    """Delete every file below a place; none is no error. Raises OSError, or obstore's BaseError."""
    if not in_bucket(place):
        with suppress(FileNotFoundError):
            shutil.rmtree(place)
        return
    store = opened(place)
    for found in obstore.list(store):
        obstore.delete(store, [each["path"] for each in found])


def access(place: str, environ: Mapping[str, str]) -> dict[str, str | bool]:
    """What a secret of DuckDB's needs to reach a bucket as object_store does with this environment.

    Without `key_id` and `secret` the credentials are a role's. Raises LakeRefused where half of
    them is set, or no address can be made of what is set.
    Names and defaults: https://docs.rs/object_store/latest/object_store/aws/enum.AmazonS3ConfigKey.html
    """

    def first(*names: str) -> str:
        return next((environ[name] for name in names if environ.get(name)), "")

    region = first("AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1"
    url = first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    virtual = first("AWS_VIRTUAL_HOSTED_STYLE_REQUEST").lower() in ("1", "true", "on", "yes", "y", "t")
    endpoint = urlsplit(url or f"https://s3.{region}.amazonaws.com")
    if not re.fullmatch(r"https?://[^@/]+/?", endpoint.geturl()):
        raise LakeRefused("AWS_ENDPOINT_URL is https://host or http://host:port, with nothing more")
    options: dict[str, str | bool] = {
        "scope": f"{place}/",
        "region": region,
        # A virtual-hosted endpoint names the bucket to object_store; DuckDB puts it there by itself.
        "endpoint": endpoint.netloc.removeprefix(f"{urlsplit(place).netloc}." if virtual else ""),
        "url_style": "vhost" if virtual else "path",
        "use_ssl": endpoint.scheme == "https",
    }
    keys = first("AWS_ACCESS_KEY_ID"), first("AWS_SECRET_ACCESS_KEY")
    if all(keys):
        options |= dict(zip(("key_id", "secret"), keys, strict=True))
        options["session_token"] = first("AWS_SESSION_TOKEN", "AWS_TOKEN")
    elif any(keys):
        raise LakeRefused("one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set: it takes both")
    return options


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _reason(error: duckdb.HTTPException) -> str:
    """Only what the store says: its whole answer may repeat the request, with a session's token."""
    said = re.search(r"<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>", error.body)
    return ": ".join(said.groups()) if said else f"{error.status_code} {error.reason}"
