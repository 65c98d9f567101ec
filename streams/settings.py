"""Every setting, in one table: its environment variable is its name in upper case."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.errors import MissingSetting, WrongSetting
from streams.version import respelled

STACK_ENV = "stack.env"
"""File in the data folder where a running local stack leaves its addresses."""


class Settings(BaseSettings):
    """Frozen settings, read once in the entry point and handed down.

    Environment variables win over the file `stack.env` that a running `circles up` leaves in the
    data folder, so commands find the local stack without a flag.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    environment: str = Field("development", description="shown in /health and /config")
    debug: bool = Field(False, description="more detail in logs; never in answers")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level logged")
    log_json: bool = Field(False, description="log one JSON object a line instead of text")

    data_dir: Path = Field(
        Path(".circles"), alias="CIRCLES_DATA_DIR", description="everything a local stack keeps"
    )
    kafka_bootstrap_servers: str = Field("", description="Kafka; empty: `circles up` starts one")
    catalog_url: SecretStr = Field(
        SecretStr(""), description="PostgreSQL with the lake's catalog; empty: `circles up` starts one"
    )
    storage_url: str = Field(
        "", description="images: file:///folder or s3://bucket/prefix; empty: data folder"
    )
    lake_url: str = Field(
        "", description="the view's Parquet files: a folder or s3://bucket/prefix; empty: data folder"
    )
    schema_registry_url: str = Field("", description="frame records for this registry; empty: single-object")

    kafka_port: int = Field(
        0, ge=0, le=65535, description="of the Kafka that `circles up` starts; 0: any free one"
    )
    postgres_port: int = Field(0, ge=0, le=65535, description="of its PostgreSQL; 0: any free one")
    model_port: int = Field(0, ge=0, le=65535, description="of its model server; 0: any free one")
    topic_partitions: int = Field(12, ge=1, description="of each topic; far more than workers")
    topic_replication: int = Field(1, ge=1, description="replicas of each topic")
    topic_retention_days: float = Field(
        -1, description="-1 keeps the log for good, so that it can be replayed"
    )

    mode: Literal["real", "dummy"] = Field("real", description="dummy: one fixed circle, no model server")
    model_server_url: str = Field("", description="KServe server; empty: `circles up` starts one")
    model_name: str = Field("circles", description="the model asked for")
    model_version: Annotated[str, AfterValidator(lambda said: said and respelled(said))] = Field(
        "", description="its version, as 2 or 2+min_score=0.7; empty: the server's newest"
    )
    model_protocol: Literal["auto", "v1", "v2"] = Field(
        "auto", description="KServe's; auto: V2 with binary tensors where the server has it, else V1"
    )
    model_label: str = Field("circle", description="what to look for, handed to the model")
    model_service_timeout: float = Field(
        20, gt=0, le=50, description="seconds for one image, retries included"
    )
    model_service_retries: int = Field(3, ge=0, le=20, description="further tries within that time")
    model_concurrency: int = Field(4, ge=1, le=256, description="model calls under way at once in a worker")
    detect_batch_size: int = Field(32, ge=1, le=64, description="most events a worker takes at once")

    fold_batch_size: int = Field(20_000, ge=1, description="most events in one commit of the view")
    fold_linger_s: float = Field(
        0.04, ge=0, description="longest rest after a commit, else as long as it took: freshness against CPU"
    )
    fold_member: str = Field(
        "", description="name of this materializer among others, to go on at once after a crash; else in 10 s"
    )

    replay_member: str = Field("", description="name of this replayer among others, for the same")

    maintain_interval_s: float = Field(
        10, gt=0, description="between looks whether the view's files need to be merged or deleted"
    )
    snapshot_retention_s: float = Field(
        3600, ge=0, description="how far back the view can be read as it was; each commit is a snapshot"
    )
    file_grace_s: float = Field(
        600, ge=0, description="how long a file stays that was replaced: longer than any query or commit"
    )

    ready_file: Path | None = Field(None, description="touched once the process does its work")

    api_host: str = Field("127.0.0.1", description="where the API listens; only loopback while AUTH is off")
    api_allow_remote: bool = Field(
        False, description="something in front authenticates: listen beyond loopback with AUTH off"
    )
    api_port: int = Field(8000, ge=0, le=65535, description="0: any free port")
    api_processes: int = Field(
        1, ge=1, le=64, description="of the API behind its port; each with a window, and limits of its own"
    )
    api_url: str = Field("", description="where `circles send` finds the API; empty: the running stack")
    max_upload_size: int = Field(10_000_000, ge=1, description="bytes of one image")
    uploads_at_once: int = Field(16, ge=1, le=256, description="uploads that an API works on at once")
    uploads_waiting: int = Field(
        48, ge=0, description="further ones being read or waiting for their turn; one more gets 429"
    )
    upload_timeout_s: float = Field(30, gt=0, description="for all of an upload's body; then it gets 408")
    upload_min_rate: int = Field(
        10_000, ge=1, description="bytes a second a body has to come at after its first 5 s, else 408"
    )
    upload_by_url: bool = Field(
        False, description='take {"url": ...} as an upload: the API fetches what others name'
    )
    url_timeout_s: float = Field(10, gt=0, le=60, description="for all of fetching a URL")
    url_ports: str = Field("80,443", description="comma-separated ports that URLs may name")
    url_networks: str = Field(
        "", description="comma-separated networks that are not public and may be fetched from all the same"
    )
    max_image_pixels: int = Field(25_000_000, ge=1, description="width x height of one image")
    detection_wait_s: float = Field(10, ge=0, le=60, description="how long an upload waits for its circles")
    after_wait_s: float = Field(5, ge=0, le=60, description="how long a read waits for its ?after=position")
    read_timeout_s: float = Field(
        30, gt=0, le=3600, description="for one question to what is older than the window; then it gets 504"
    )
    window_images: int = Field(
        200_000, ge=1, description="newest images that each API process keeps in memory, with their circles"
    )
    pictures_at_once: int = Field(
        2, ge=1, le=64, description="thumbnails and overlays that an API draws at once, some 200 MB each"
    )
    query_by_sql: bool = Field(
        False, description="answer POST /sql: SELECTs of the view, by callers' own text"
    )
    sql_memory_mb: int = Field(512, ge=64, description="memory of one such query, in a process of its own")
    sql_timeout_s: float = Field(10, gt=0, le=600, description="for all of such a query; then it gets 504")
    sql_rows: int = Field(100_000, ge=1, description="most rows of its answer; more are refused")
    sql_at_once: int = Field(2, ge=1, le=64, description="such queries that an API works on at once")
    compare_timeout_s: float = Field(60, gt=0, le=600, description="for a GET /comparisons; then it gets 504")
    compare_memory_mb: int = Field(
        3072, ge=256, description="memory of one, in a process of its own, one at a time; more is refused"
    )
    streams_at_once: int = Field(
        100, ge=0, le=10_000, description="who may follow GET /changes at once; one more gets 503"
    )
    drain_s: float = Field(
        0,
        ge=0,
        le=60,
        description="how long /health/ready says 503 before a stopping API refuses connections",
    )
    cors_origins: str = Field("", description="comma-separated origins that browsers may call from")

    auth: Literal["off", "on"] = Field(
        "off", description="on: callers show a key (`circles keys`) or the issuer's token"
    )
    rate_limit: str = Field("", description="requests of one caller, like 600/minute; empty: any number")
    api_key: SecretStr = Field(SecretStr(""), description="what `circles send` and `circles demo` show")
    oidc_issuer: str = Field("", description="whose tokens are taken, too: its URL, as in their `iss`")
    oidc_audience: str = Field("", description="who the tokens have to be for: their `aud`")
    oidc_jwks_url: str = Field("", description="the issuer's keys; empty: from its discovery document")
    oidc_algorithm: Literal["RS256", "ES256"] = Field("RS256", description="how the tokens are signed")
    oidc_rights_claim: str = Field(
        "scope", description="which claim has ingest, read and administer: words, or a list"
    )
    oidc_project_claim: str = Field(
        "project", description="which claim has the project whose rows they see; * is all"
    )
    tls_cert_file: Path | None = Field(None, description="the API speaks HTTPS: its certificates, as PEM")
    tls_key_file: Path | None = Field(None, description="their private key, as PEM without a password")

    @classmethod
    def load(cls) -> Settings:
        """Settings from the environment, then from the running stack's `stack.env`. Raises WrongSetting."""
        try:
            data_dir = cls().data_dir
            return cls(_env_file=data_dir / STACK_ENV)
        except ValidationError as error:
            raise WrongSetting(error.errors(), cls.model_fields) from None

    @property
    def objects_url(self) -> str:
        """Where images are stored, without a trailing slash."""
        return (self.storage_url or (self.data_dir.absolute() / "objects").as_uri()).rstrip("/")

    @property
    def lake_path(self) -> str:
        """Where the view's Parquet files are: a folder, or `s3://bucket/prefix` without a trailing slash."""
        # A folder stays as it was written, since the catalog holds it so.
        url = self.lake_url.rstrip("/") if "://" in self.lake_url else self.lake_url
        return url or str(self.data_dir.absolute() / "lake")

    @field_validator("lake_url")
    @classmethod
    def _folder_or_bucket(cls, url: str) -> str:
        if "://" in url and not re.fullmatch(r"s3://[\w.-]+(/[\w./=-]*)?", url, re.ASCII):
            raise ValueError(
                "LAKE_URL is a folder, or s3://bucket/prefix of letters, digits and ._=-/ with nothing more:"
                " credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, another host AWS_ENDPOINT_URL"
            )
        return url

    @field_validator("rate_limit")
    @classmethod
    def _rate(cls, text: str) -> str:
        if text and not re.fullmatch(r"[1-9]\d{0,8}/(second|minute|hour|day)", text, re.ASCII):
            raise ValueError("RATE_LIMIT is a number and a time, like 600/minute (second, minute, hour, day)")
        return text

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _over_https(cls, url: str) -> str:
        if url and not is_https(url):
            raise ValueError("is an https:// address; http:// on this machine only (127.0.0.1)")
        return url

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.oidc_issuer and not (self.oidc_audience and self.auth == "on"):
            raise ValueError("OIDC_ISSUER needs OIDC_AUDIENCE and AUTH=on: else tokens for others would do")
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE are set together, or neither")
        return self

    def require(self, *names: str) -> None:
        """Raise MissingSetting when one of `names` is empty."""
        for name in names:
            value = getattr(self, name)
            if not (value.get_secret_value() if isinstance(value, SecretStr) else value):
                raise MissingSetting(name, self.data_dir)


def is_https(url: str) -> bool:
    """Whether what is fetched from there cannot be changed on its way."""
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    return bool(parts.hostname) and (parts.scheme == "https" or local)
