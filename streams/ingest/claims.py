"""Who uploaded which bytes first: one row an image in PostgreSQL, so that an upload happens once.

A claim is committed before anything is stored, and marked accepted after the broker has the event. What a
crash leaves between the two is finished by the next upload of the same bytes, under the same image id, so
it never answers 409 for an image that does not exist and never makes a second one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from streams.errors import CatalogUnavailable, DuplicateImage

CREATE = """
CREATE SCHEMA IF NOT EXISTS ingest;
CREATE TABLE IF NOT EXISTS ingest.claims (
    project_id text, sha256 text, image_id uuid NOT NULL UNIQUE, accepted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (project_id, sha256))"""
CLAIM = "INSERT INTO ingest.claims VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
HOLD = "SELECT image_id, accepted FROM ingest.claims WHERE project_id = %s AND sha256 = %s FOR UPDATE"
ACCEPT = "UPDATE ingest.claims SET accepted = true WHERE image_id = %s"
ACCEPTED = "SELECT accepted FROM ingest.claims WHERE image_id = %s"


@dataclass(frozen=True, slots=True)
class Claims:
    pool: AsyncConnectionPool

    async def create(self) -> None:
        """Make the table where it is missing. Raises CatalogUnavailable."""
        async with self._connection() as connection:
            # Processes that start together would otherwise collide in the catalog of PostgreSQL itself.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('ingest.claims'))")
            await connection.execute(CREATE)

    @asynccontextmanager
    async def hold(self, project_id: str, sha256: str, image_id: UUID) -> AsyncIterator[UUID]:
        """Claim these bytes and keep others out while the body runs; yields the image's id.

        The id is `image_id`, or that of an earlier upload which did not come to its end. Leaving the body
        without an exception accepts the image. Raises DuplicateImage, CatalogUnavailable.
        """
        async with self._connection() as connection:
            await connection.execute(CLAIM, (project_id, sha256, image_id))
            await connection.commit()
            rows = await (await connection.execute(HOLD, (project_id, sha256))).fetchall()
            held, accepted = rows[0]
            if accepted:
                raise DuplicateImage(held)
            yield held
            # Losing this mark in a power cut is harmless: the next upload of these bytes finishes it again.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(ACCEPT, (held,))

    async def accepted(self, image_id: UUID) -> bool:
        """Whether an upload of this image was accepted. Raises CatalogUnavailable."""
        async with self._connection() as connection:
            rows = await (await connection.execute(ACCEPTED, (image_id,))).fetchall()
        return bool(rows and rows[0][0])

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        try:
            async with self.pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise CatalogUnavailable(f"PostgreSQL does not answer: {type(error).__name__}") from error


def claims_pool(catalog_url: str) -> AsyncConnectionPool:
    """A pool that is not yet open; an upload holds one connection for as long as it lasts."""
    return AsyncConnectionPool(
        catalog_url,
        min_size=1,
        max_size=16,
        timeout=5,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs={"connect_timeout": 3, "options": "-c lock_timeout=15s -c statement_timeout=20s"},
    )
