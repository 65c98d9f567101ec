"""A real lake to write to, on a PostgreSQL of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import uuid_utils.compat as uuids
from pydantic import SecretStr

from streams import lake
from streams.circles import object_ids
from streams.commit import View
from streams.ledger import Ledger
from streams.settings import Settings
from streams.topics import DETECTED
from tests.examples import batch, circles, detected, message

Commit = Callable[[int], list[UUID]]
"""Commits detections of so many new images, of three circles each; returns the images."""


def fresh(url: str, folder: Path) -> Settings:
    """Settings of an empty view in a database of its own; grace and retention are 0."""
    name = f"d{uuids.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    catalog = SecretStr(f"{url.rpartition('/')[0]}/{name}")
    settings = Settings(data_dir=folder, catalog_url=catalog, file_grace_s=0, snapshot_retention_s=0)
    lake.create(settings)
    return settings


@contextmanager
def folding(settings: Settings, partition: int = 0) -> Iterator[Commit]:
    """A writer of one partition of detections."""
    at = (DETECTED.name, partition)
    with lake.connect(settings, read_only=False) as view, lake.catalog(settings) as catalog:
        ledger = Ledger(catalog, lake.live(settings))
        ledger.add({at: 0})
        writer = View(view, ledger, shared=False)

        def commit_more(count: int) -> list[UUID]:
            images = [uuids.uuid7() for _ in range(count)]
            log = []
            for image_id in images:
                found = circles(3)
                found["object_id"] = [each.bytes for each in object_ids(image_id, "circles", "1", 3)]
                log.append(message(detected(image_id=image_id, circles=found)))
            offset = ledger.stored()[at]
            writer.commit(batch(log), {at: offset}, {at: offset + count})
            return images

        yield commit_more


def asked(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the catalog; {g} is the live generation's schema."""
    with lake.catalog(settings) as catalog:
        return catalog.execute(sql.format(g=lake.live(settings)).encode()).fetchall()


def read(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the view."""
    with lake.connect(settings, read_only=True) as view:
        return view.execute(sql).fetchall()


def manifest_of(settings: Settings) -> dict[str, tuple[int, str]]:
    """Size and digest by path."""
    rows = asked(
        settings,
        "SELECT path, size_bytes, encode(sha256, 'hex') FROM circles.files WHERE swept_at IS NULL",
    )
    return {path: (size_bytes, sha256) for path, size_bytes, sha256 in rows}


def folder_of(settings: Settings) -> Path:
    return Path(settings.lake_path, lake.live(settings))


def on_disk(settings: Settings) -> set[str]:
    """The Parquet files of the live view's folder, by their paths in it."""
    folder = folder_of(settings)
    return {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}
