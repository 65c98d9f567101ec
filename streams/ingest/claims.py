"""Who uploaded which bytes first: one row an image in PostgreSQL, so that an upload happens once.

A claim is committed before anything is stored, and marked accepted after the broker has the event. What a
crash leaves between the two is finished by the next upload of the same bytes, under the same image id, so
it never answers 409 for an image that does not exist and never makes a second one. What nobody sends again
is swept (orphans.py).

Claims of uploads that come at about the same time are one transaction: a commit costs as much for many. While
an upload is under way others of its bytes are kept out by a lock here, and by an advisory lock of this
process's session in all others; a session that ends, ends its locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakValueDictionary

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from streams.errors import CatalogUnavailable, DuplicateImage

CREATE = """
CREATE SCHEMA IF NOT EXISTS ingest;
CREATE TABLE IF NOT EXISTS ingest.claims (
    project_id text, sha256 text, image_id uuid NOT NULL UNIQUE, accepted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (project_id, sha256));
CREATE INDEX IF NOT EXISTS claims_open ON ingest.claims (image_id) WHERE NOT accepted"""
# In one order, so that two processes with the same claims wait for each other and not both at once.
CLAIM = """INSERT INTO ingest.claims (project_id, sha256, image_id)
SELECT * FROM unnest(%s::text[], %s::text[], %s::uuid[]) ORDER BY 1, 2 ON CONFLICT DO NOTHING"""
LOCK_KEY = "hashtextextended(project_id || ' ' || sha256, 0)"
LOCK = f"""SELECT project_id, sha256 FROM unnest(%s::text[], %s::text[]) AS asked (project_id, sha256)
WHERE pg_try_advisory_lock({LOCK_KEY})"""  # noqa: S608
UNLOCK = f"""SELECT pg_advisory_unlock({LOCK_KEY})
FROM unnest(%s::text[], %s::text[]) AS held (project_id, sha256)"""  # noqa: S608
STANDING = """SELECT project_id, sha256, image_id, accepted FROM ingest.claims
JOIN unnest(%s::text[], %s::text[]) AS held (project_id, sha256) USING (project_id, sha256)"""
ACCEPT = "UPDATE ingest.claims SET accepted = true WHERE image_id = ANY(%s)"
ACCEPTED = """SELECT accepted FROM ingest.claims
WHERE image_id = %(image_id)s AND project_id = coalesce(%(project)s, project_id)"""
ELSEWHERE_S = 15.0
"""For an upload of the same bytes in another process."""
AGAIN_S = 0.02
WAIT_S = 20.0
AWAY = (psycopg.OperationalError, PoolTimeout, TimeoutError)


@dataclass(eq=False, slots=True)
class _Claim:
    """What an upload waits for: first that it holds its claim, then that it has let go of it."""

    project_id: str
    sha256: str
    image_id: UUID
    held: asyncio.Future[bool] = field(default_factory=asyncio.Future)
    """Whether the image was accepted before."""
    ended: asyncio.Future[None] = field(default_factory=asyncio.Future)
    locked: bool = False
    accept: bool = False
    until: float = field(default_factory=lambda: asyncio.get_running_loop().time() + ELSEWHERE_S)


class Claims:
    """One for a process and event loop. While uploads are under way it has one connection of the pool."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._asked: list[_Claim] = []
        self._ended: list[_Claim] = []
        self._under_way: set[_Claim] = set()
        self._more = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._here: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def create(self) -> None:
        """Make the table where it is missing. Raises CatalogUnavailable."""
        async with self._connection() as connection, connection.transaction():
            # Processes that start together would otherwise collide in the catalog of PostgreSQL itself.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('ingest.claims'))")
            await connection.execute(CREATE)

    @asynccontextmanager
    async def hold(self, project_id: str, sha256: str, image_id: UUID) -> AsyncIterator[UUID]:
        """Claim these bytes and keep others out while the body runs; yields the image's id.

        The id is `image_id`, or that of an earlier upload which did not come to its end. Leaving the body
        without an exception accepts the image. Raises DuplicateImage, CatalogUnavailable.
        """
        async with self._here.setdefault((project_id, sha256), asyncio.Lock()):
            claim = _Claim(project_id, sha256, image_id)
            self._under_way.add(claim)
            self._asked.append(claim)
            self._wake()
            try:
                if await claim.held:
                    raise DuplicateImage(claim.image_id)
                yield claim.image_id
                claim.accept = True
            finally:
                if claim in self._under_way:  # else its session was lost
                    self._ended.append(claim)
                    self._wake()
            await claim.ended

    async def accepted(self, image_id: UUID, project_id: str | None = None) -> bool:
        """Whether an upload of this image was accepted, to this project where one is named.

        Raises CatalogUnavailable.
        """
        asked = {"image_id": image_id, "project": project_id}
        async with self._connection() as connection:
            rows = await (await connection.execute(ACCEPTED, asked)).fetchall()
        return bool(rows and rows[0][0])

    def _wake(self) -> None:
        self._more.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
            self._worker.add_done_callback(self._left)

    def _left(self, _: object) -> None:
        if self._under_way:  # who came while it was about to leave
            self._wake()

    async def _work(self) -> None:
        """Serve the claims under way, all that came in the meantime at once, until there are none."""
        try:
            async with self._connection() as session:
                try:
                    while self._under_way:
                        await self._more.wait()
                        self._more.clear()
                        async with asyncio.timeout(WAIT_S):
                            await self._end(session)
                            await self._take(session)
                except BaseException:
                    await session.close()  # and with it its locks
                    raise
        except CatalogUnavailable as error:
            self._lose(error)
        except BaseException:
            self._lose(CatalogUnavailable("the claims' session ended"))
            raise

    async def _take(self, session: psycopg.AsyncConnection) -> None:
        asked, self._asked = [c for c in self._asked if not c.held.done()], []
        if not asked:
            return
        ids = [claim.image_id for claim in asked]
        await session.execute(CLAIM, (*_keys(asked), ids))
        locked = set(await (await session.execute(LOCK, _keys(asked))).fetchall())
        ours = [claim for claim in asked if (claim.project_id, claim.sha256) in locked]
        # Asked for once they are locked: another process may just have accepted one.
        rows = await (await session.execute(STANDING, _keys(ours))).fetchall() if ours else []
        standing = {(project_id, sha256): facts for project_id, sha256, *facts in rows}
        for claim in ours:
            claim.locked = True
            claim.image_id, accepted = standing[claim.project_id, claim.sha256]
            if not claim.held.done():
                claim.held.set_result(accepted)
        if len(ours) < len(asked):
            self._later([claim for claim in asked if claim not in ours])

    def _later(self, elsewhere: Sequence[_Claim]) -> None:
        """Ask again for claims that another process holds."""
        loop = asyncio.get_running_loop()
        for claim in elsewhere:
            if loop.time() > claim.until and not claim.held.done():
                claim.held.set_exception(CatalogUnavailable("an upload of the same bytes does not end"))
        self._asked += elsewhere
        loop.call_later(AGAIN_S, self._more.set)

    async def _end(self, session: psycopg.AsyncConnection) -> None:
        ended, self._ended = self._ended, []
        if not ended:
            return
        if accepted := [claim.image_id for claim in ended if claim.accept]:
            async with session.transaction():
                # Losing this mark in a power cut is harmless: the next upload of these bytes does it again.
                await session.execute("SET LOCAL synchronous_commit = off")
                await session.execute(ACCEPT, (accepted,))
        if locked := [claim for claim in ended if claim.locked]:
            await session.execute(UNLOCK, _keys(locked))
        for claim in ended:
            self._under_way.discard(claim)
            if not claim.ended.done():
                claim.ended.set_result(None)

    def _lose(self, error: CatalogUnavailable) -> None:
        """Nothing is held any more: who waits is told so now, who works once that is done."""
        for claim in self._under_way:
            for waited in (claim.held, claim.ended):
                if not waited.done():
                    waited.set_exception(error)
                    waited.exception()  # who is not there any more need not ask
        self._under_way.clear()
        self._asked, self._ended = [], []

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except AWAY as error:
            raise CatalogUnavailable(f"PostgreSQL does not answer: {type(error).__name__}") from error


def _keys(claims: Sequence[_Claim]) -> tuple[list[str], list[str]]:
    return [claim.project_id for claim in claims], [claim.sha256 for claim in claims]


def claims_pool(catalog_url: str) -> AsyncConnectionPool:
    """A pool that is not yet open, of connections in autocommit."""
    return AsyncConnectionPool(
        catalog_url,
        min_size=1,
        max_size=8,
        timeout=5,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs={"autocommit": True, "connect_timeout": 3, "options": "-c statement_timeout=20s"},
    )
