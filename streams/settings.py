"""Every setting, in one table: its environment variable is its name in upper case."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    model_version: str = Field("", description="its version; empty: the server's newest")
    model_protocol: Literal["auto", "v1", "v2"] = Field(
        "auto", description="KServe's; auto: V2 with binary tensors where the server has it, else V1"
    )
    model_label: str = Field("circle", description="what to look for, handed to the model")
    model_service_timeout: float = Field(
        20,
        gt=0,
        le=50,
        description="seconds for one image, retries included",
    )
    model_service_retries: int = Field(3, ge=0, le=20, description="further tries within that time")
    model_concurrency: int = Field(4, ge=1, le=256, description="model calls under way at once in a worker")
    detect_batch_size: int = Field(32, ge=1, le=64, description="most events a worker takes at once")

    fold_batch_size: int = Field(10_000, ge=1, description="most events in one commit of the view")
    fold_linger_s: float = Field(
        0.05, ge=0, description="least time between commits: freshness against files"
    )
    fold_member: str = Field(
        "",
        description="name of this materializer among others, to go on at once after a crash; empty: in 10 s",
    )

    maintain_interval_s: float = Field(
        10, gt=0, description="between looks whether the view's files need to be merged or deleted"
    )
    snapshot_retention_s: float = Field(
        3600, ge=0, description="how far back the view can be read as it was; each commit is a snapshot"
    )
    file_grace_s: float = Field(
        600,
        ge=0,
        description="how long a file stays that was replaced: longer than any query or commit",
    )

    ready_file: Path | None = Field(None, description="touched once the process does its work")

    api_host: str = Field("127.0.0.1", description="only loopback: no authentication is configured")
    api_allow_remote: bool = Field(
        False, description="something in front authenticates: listen beyond loopback"
    )
    api_port: int = Field(8000, ge=0, le=65535, description="0: any free port")
    api_url: str = Field("", description="where `circles send` finds the API; empty: the running stack")
    max_upload_size: int = Field(10_000_000, ge=1, description="bytes of one image")
    max_image_pixels: int = Field(25_000_000, ge=1, description="width x height of one image")
    detection_wait_s: float = Field(10, ge=0, le=60, description="how long an upload waits for its circles")
    after_wait_s: float = Field(5, ge=0, le=60, description="how long a read waits for its ?after=position")
    cors_origins: str = Field("", description="comma-separated origins that browsers may call from")

    @classmethod
    def load(cls) -> Settings:
        """Settings from the environment, then from the running stack's `stack.env`."""
        data_dir = cls().data_dir
        return cls(_env_file=data_dir / STACK_ENV)

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

    def require(self, *names: str) -> None:
        """Raise MissingSetting when one of `names` is empty."""
        for name in names:
            value = getattr(self, name)
            if not (value.get_secret_value() if isinstance(value, SecretStr) else value):
                raise MissingSetting(name, self.data_dir)


class MissingSetting(Exception):
    """A command needs a part of the system whose address it was not given."""

    def __init__(self, name: str, data_dir: Path) -> None:
        super().__init__(
            f"{name.upper()} is not set and no stack is running in {data_dir}: "
            f"start one with `circles up`, or set {name.upper()}"
        )
