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

LOCK_KEY = "hashtextextended(project_id || ' ' || sha256, 0)"
CREATE = f"""
CREATE SCHEMA IF NOT EXISTS ingest;
CREATE TABLE IF NOT EXISTS ingest.claims (
    project_id text, sha256 text, image_id uuid NOT NULL UNIQUE, accepted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (project_id, sha256));
CREATE INDEX IF NOT EXISTS claims_open ON ingest.claims (image_id) WHERE NOT accepted;
CREATE OR REPLACE FUNCTION ingest.take_turn(
    left_projects text[], left_sha256s text[], came uuid[],
    asked_projects text[], asked_sha256s text[], asked_ids uuid[])
RETURNS TABLE (nth bigint, standing_id uuid, was_accepted boolean)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    locked bigint[];
BEGIN
    PERFORM pg_advisory_unlock({LOCK_KEY})
    FROM unnest(left_projects, left_sha256s) AS held (project_id, sha256);
    UPDATE ingest.claims SET accepted = true WHERE image_id = ANY(came);
    IF cardinality(asked_ids) = 0 THEN
        -- A mark that a power cut loses is harmless: the next upload of these bytes makes it again.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    locked := ARRAY(
        SELECT n FROM unnest(asked_projects, asked_sha256s) WITH ORDINALITY AS asked (project_id, sha256, n)
        WHERE pg_try_advisory_lock({LOCK_KEY}));
    INSERT INTO ingest.claims (project_id, sha256, image_id)
    SELECT project_id, sha256, image_id FROM unnest(asked_projects, asked_sha256s, asked_ids)
        WITH ORDINALITY AS asked (project_id, sha256, image_id, n)
    WHERE n = ANY(locked) ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT n, image_id, accepted
    FROM unnest(asked_projects, asked_sha256s) WITH ORDINALITY AS asked (project_id, sha256, n)
    JOIN ingest.claims USING (project_id, sha256) WHERE n = ANY(locked);
END $$"""  # noqa: S608
"""All that a turn asks in one statement: each alone would cost as much as all of them. A plan made while the
table is small, as it is once, would look at each of its rows for minutes: so always by its indexes."""
TURN = (
    "SELECT * FROM ingest.take_turn(%s::text[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::uuid[])"
)
ACCEPTED = """SELECT accepted FROM ingest.claims
WHERE image_id = %(image_id)s AND project_id = coalesce(%(project)s, project_id)"""
ELSEWHERE_S = 15.0
"""For an upload of the same bytes in another process."""
AGAIN_S = 0.02
REST_S, MOST_REST_S = 0.0003, 0.005
"""Between turns for each upload under way, so that a turn serves several where many come: it costs as much
for all. One alone does not wait, as it is stored and logged meanwhile."""
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
        self._left: list[_Claim] = []
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
            self._worker.add_done_callback(self._gone)

    def _gone(self, _: object) -> None:
        if self._under_way:  # who came while it was about to leave
            self._wake()

    async def _work(self) -> None:
        """Serve the claims under way, all that came in the meantime at once, until there are none."""
        try:
            async with self._connection() as session:
                try:
                    while self._under_way or self._left:
                        await self._more.wait()
                        self._more.clear()
                        async with asyncio.timeout(WAIT_S):
                            await self._turn(session)
                        await asyncio.sleep(min(REST_S * len(self._under_way), MOST_REST_S))
                except BaseException:
                    await session.close()  # and with it its locks
                    raise
        except CatalogUnavailable as error:
            self._lose(error)
        except BaseException:
            self._lose(CatalogUnavailable("the claims' session ended"))
            raise

    async def _turn(self, session: psycopg.AsyncConnection) -> None:
        """Let go of those that the last turn accepted, as others must find them so; accept, then take."""
        left, ended = self._left, self._ended
        asked = [claim for claim in self._asked if not claim.held.done()]
        self._left, self._ended, self._asked = [], [], []
        came = [claim.image_id for claim in ended if claim.accept]
        values = (*_keys(left), came, *_keys(asked), [claim.image_id for claim in asked])
        rows = await (await session.execute(TURN, values)).fetchall()
        for nth, image_id, accepted in rows:
            claim = asked[nth - 1]
            claim.locked, claim.image_id = True, image_id
            if not claim.held.done():
                claim.held.set_result(accepted)
        for claim in ended:
            self._under_way.discard(claim)
            if not claim.ended.done():
                claim.ended.set_result(None)
        self._left = [claim for claim in ended if claim.locked]
        if self._left:
            self._more.set()
        if len(rows) < len(asked):
            self._later([claim for claim in asked if not claim.locked])

    def _later(self, elsewhere: Sequence[_Claim]) -> None:
        """Ask again for claims that another process holds."""
        loop = asyncio.get_running_loop()
        for claim in elsewhere:
            if loop.time() > claim.until and not claim.held.done():
                claim.held.set_exception(CatalogUnavailable("an upload of the same bytes does not end"))
        self._asked += elsewhere
        loop.call_later(AGAIN_S, self._more.set)

    def _lose(self, error: CatalogUnavailable) -> None:
        """Nothing is held any more: who waits is told so now, who works once that is done."""
        for claim in self._under_way:
            for waited in (claim.held, claim.ended):
                if not waited.done():
                    waited.set_exception(error)
                    waited.exception()  # who is not there any more need not ask
        self._under_way.clear()
        self._asked, self._ended, self._left = [], [], []

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
