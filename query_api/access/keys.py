"""API keys: rows of PostgreSQL that hold a hash of each key's text.

A key is 256 random bits, so there is nothing that could be guessed from its hash, and SHA-256 without salt or
rounds is as good as a slow hash, which is for passwords that people choose.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hmac import compare_digest
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from query_api.access.caller import RIGHTS, Caller, Right, project_name
from query_api.access.known import Unavailable

PREFIX = "circles_"
_KEY = re.compile(PREFIX + r"([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
MOST = 10_000
"""Keys in force at once: each API process has them all in memory."""
FRESH_S, AGAIN_S, STALE_S = 1.0, 0.1, 60.0
CREATE = """
CREATE SCHEMA IF NOT EXISTS access;
CREATE TABLE IF NOT EXISTS access.keys (
    key_id text PRIMARY KEY, sha256 bytea NOT NULL, name text NOT NULL, rights text[] NOT NULL,
    project text,  -- NULL: all
    created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz, revoked_at timestamptz)"""
IN_FORCE = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
COLUMNS = "key_id, sha256, name, rights, project, created_at, expires_at, revoked_at"


class NoSuchKey(ValueError):
    """No key in force has this id."""


@dataclass(frozen=True)
class Key:
    """A row of `access.keys`."""

    key_id: str
    sha256: bytes
    name: str
    rights: list[Right]
    project: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @cached_property
    def caller(self) -> Caller:
        return Caller(f"key {self.key_id}", RIGHTS & set(self.rights), self.project)


class Made(NamedTuple):
    """A new key; its `text` is nowhere else, so it can be shown this once only."""

    key_id: str
    text: str


def create_table(connection: psycopg.Connection[Any]) -> None:
    """Make the table where it is missing. Raises psycopg.Error."""
    with connection.transaction():
        # Processes that start together would otherwise collide in the catalog of PostgreSQL itself.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('access.keys'))")
        connection.execute(CREATE)


def create(
    connection: psycopg.Connection[Any],
    name: str,
    rights: Iterable[str],
    project: str | None,
    expires_at: datetime | None = None,
) -> Made:
    """A new key. Raises ValueError for what cannot be, psycopg.Error."""
    wanted = sorted(set(rights))
    if not wanted or set(wanted) - RIGHTS:
        raise ValueError(f"a key has at least one right of {', '.join(sorted(RIGHTS))}")
    if project is not None:
        project_name(project)
    create_table(connection)
    ((count,),) = connection.execute(f"SELECT count(*) FROM access.keys WHERE {IN_FORCE}").fetchall()  # noqa: S608
    if count >= MOST:
        raise ValueError(f"there are {count} keys, no more can be in force: revoke some, or use OIDC")
    key_id = secrets.token_hex(6)
    text = f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    connection.execute(
        "INSERT INTO access.keys (key_id, sha256, name, rights, project, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (key_id, _hash(text), name, wanted, project, expires_at),
    )
    return Made(key_id, text)


def listed(connection: psycopg.Connection[Any]) -> list[Key]:
    """All keys that ever were, newest first. Raises psycopg.Error."""
    create_table(connection)
    with connection.cursor(row_factory=class_row(Key)) as cursor:
        return cursor.execute(f"SELECT {COLUMNS} FROM access.keys ORDER BY created_at DESC").fetchall()  # noqa: S608


def revoke(connection: psycopg.Connection[Any], key_id: str) -> None:
    """End a key for good. Raises NoSuchKey, psycopg.Error."""
    create_table(connection)
    done = connection.execute(
        "UPDATE access.keys SET revoked_at = now() WHERE key_id = %s AND revoked_at IS NULL", (key_id,)
    )
    if not done.rowcount:
        raise NoSuchKey(f"no key in force has the id {key_id!r}; see `circles keys list`")


async def in_force(pool: AsyncConnectionPool) -> Mapping[str, Key]:
    """The keys in force by id. Raises Unavailable."""
    try:
        async with pool.connection() as connection, connection.cursor(row_factory=class_row(Key)) as cursor:
            rows = await (
                await cursor.execute(f"SELECT {COLUMNS} FROM access.keys WHERE {IN_FORCE}")  # noqa: S608
            ).fetchall()
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise Unavailable(f"PostgreSQL does not answer: {type(error).__name__}") from error
    return {key.key_id: key for key in rows}


def id_of(text: str) -> str:
    """The id in the text of a key; empty where the text is none."""
    match = _KEY.fullmatch(text)
    return match[1] if match else ""


def id_in(text: str) -> str:
    """What would be the id if the text were a key's."""
    return text[len(PREFIX) : len(PREFIX) + 12]


def opens(key: Key, text: str) -> bool:
    """Whether the text is this key's, and it has not expired."""
    same = compare_digest(_hash(text), key.sha256)
    return same and (key.expires_at is None or key.expires_at > datetime.now(UTC))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def keys_pool(catalog_url: str) -> AsyncConnectionPool:
    """A pool that is not yet open: of its own, since uploads may hold all connections of the claims."""
    return AsyncConnectionPool(
        catalog_url,
        min_size=1,
        max_size=1,
        timeout=3,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs={"autocommit": True, "connect_timeout": 3, "options": "-c statement_timeout=3s"},
    )
