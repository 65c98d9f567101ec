"""The gateway on a real log: what a crash leaves at each point is finished by the next upload."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import uuid_utils.compat as uuids

from streams import lake
from streams.codec import Codec
from streams.errors import CatalogUnavailable, DuplicateImage, LogUnavailable
from streams.ingest.claims import Claims, claims_pool
from streams.ingest.log import LogWriter
from streams.ingest.orphans import sweep
from streams.ingest.upload import Accepted, Gateway
from streams.records import Record, subject
from streams.settings import Settings
from streams.store import Store
from streams.topics import UPLOADED
from tests.integration.flow import alter, picture, query, read_all, stages, wait_until


class Crash(BaseException):
    """As if the process ended here."""


class CrashingCodec(Codec):
    """Ends the upload between the stored object and its event."""

    def encode(self, record: Record) -> bytes:  # noqa: ARG002
        raise Crash


class CrashingClaims(Claims):
    """Ends the upload between the broker's acknowledgement and the mark in PostgreSQL."""

    @asynccontextmanager
    async def hold(self, project_id: str, sha256: str, image_id: UUID) -> AsyncIterator[UUID]:
        async with Claims.hold(self, project_id, sha256, image_id) as held:
            yield held
            raise Crash


@asynccontextmanager
async def gateway(
    settings: Settings, codec: Codec | None = None, claims: type[Claims] = Claims
) -> AsyncIterator[Gateway]:
    async with claims_pool(settings.catalog_url.get_secret_value()) as pool:
        ours = claims(pool)
        await ours.create()
        async with LogWriter(settings, codec or Codec()) as log:
            yield Gateway(settings, log, Store(settings.objects_url, 10_000_000), ours)


def test_a_crash_between_object_and_event_is_finished_by_the_next_upload(settings: Settings) -> None:
    async def uploads() -> UUID:
        async with gateway(settings, CrashingCodec()) as crashing:
            with pytest.raises(Crash):
                await crashing.accept(picture(1))
        assert read_all(settings, UPLOADED) == []
        async with gateway(settings) as sound:
            image_id, *_ = await sound.accept(picture(1))
            with pytest.raises(DuplicateImage) as refused:
                await sound.accept(picture(1))
        assert refused.value.image_id == image_id
        return image_id

    image_id = asyncio.run(uploads())
    assert [subject(record) for record in read_all(settings, UPLOADED)] == [image_id]
    # The crashed upload's object has the same name, so it is not left over beside the finished one.
    assert [path.stem for path in (settings.data_dir / "objects").iterdir()] == [str(image_id)]


def test_a_crash_after_the_event_repeats_it_under_the_same_id(settings: Settings) -> None:

    async def uploads() -> list[UUID]:
        async with gateway(settings, claims=CrashingClaims) as crashing:
            with pytest.raises(Crash):
                await crashing.accept(picture(2))
        async with gateway(settings) as sound:
            return [(await sound.accept(picture(2))).image_id]

    ids = asyncio.run(uploads())
    assert [subject(record) for record in read_all(settings, UPLOADED)] == ids * 2


def test_uploads_of_the_same_bytes_at_the_same_moment_are_one_image(settings: Settings) -> None:
    async def uploads() -> list[Accepted | BaseException]:
        async with gateway(settings) as one, gateway(settings) as other:
            calls: list[Awaitable[Accepted]] = [g.accept(picture(3)) for g in (one, other, one, other)]
            return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(uploads())
    (image_id,) = [outcome.image_id for outcome in outcomes if isinstance(outcome, Accepted)]
    assert [o.image_id for o in outcomes if isinstance(o, DuplicateImage)] == [image_id] * 3
    assert len(read_all(settings, UPLOADED)) == 1


@asynccontextmanager
async def claiming(settings: Settings) -> AsyncIterator[Claims]:
    async with claims_pool(settings.catalog_url.get_secret_value()) as pool:
        claims = Claims(pool)
        await claims.create()
        yield claims


async def is_first(claims: Claims, sha256: str) -> bool:
    """Whether these bytes were claimed and accepted here, and not by another before."""
    try:
        async with claims.hold("project", sha256, uuids.uuid7()):
            return True
    except DuplicateImage:
        return False


def test_whoever_gets_a_claim_after_another_finds_it_accepted(settings: Settings) -> None:
    async def claims() -> Counter[str]:
        async with claiming(settings) as one, claiming(settings) as other:
            asked = [str(n) for n in range(300) for _ in range(4)]
            first = await asyncio.gather(
                *(is_first((one, other)[n % 2], sha256) for n, sha256 in enumerate(asked))
            )
        return Counter(sha256 for sha256, was_first in zip(asked, first, strict=True) if was_first)

    assert asyncio.run(claims()) == {str(n): 1 for n in range(300)}


def test_a_claim_does_not_look_at_all_that_were_made_before(settings: Settings) -> None:
    def scans() -> tuple[int, int]:
        """Of the table and of its indexes, as sessions told when they ended."""
        with lake.catalog(settings) as catalog:
            told = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = 'claims'"
            [(of_table, of_indexes)] = catalog.execute(told).fetchall()
            return int(of_table), int(of_indexes)

    async def claims(count: int) -> None:
        async with claiming(settings) as ours:
            for sixteen in range(0, count, 16):
                assert all(await asyncio.gather(*(is_first(ours, f"{sixteen} {n}") for n in range(16))))

    asyncio.run(claims(0))  # which makes the table and looks at it
    wait_until(lambda: scans()[0] > 0)
    before, _ = scans()
    asyncio.run(claims(1_000))
    wait_until(lambda: scans()[1] > 100)
    assert scans()[0] == before


def objects(settings: Settings) -> set[str]:
    return {path.stem for path in (settings.data_dir / "objects").iterdir()}


def open_claims(settings: Settings) -> int:
    with lake.catalog(settings) as catalog:
        rows = catalog.execute("SELECT count(*) FROM ingest.claims WHERE NOT accepted").fetchall()
    return int(rows[0][0])


def swept(settings: Settings, **more: Any) -> int:
    store = Store(settings.objects_url, 10_000_000)
    return asyncio.run(sweep(settings, store, **{"grace_s": -1, **more}))


def test_what_an_upload_left_is_swept_and_nothing_that_is_on_the_log(settings: Settings) -> None:
    """Of four: one left its object, one its object and event, one is under way, one was accepted."""

    async def uploads() -> None:
        async with gateway(settings) as sound, gateway(settings, CrashingCodec()) as stored:
            await sound.accept(picture(10))
            with pytest.raises(Crash):
                await stored.accept(picture(11))
        async with gateway(settings, claims=CrashingClaims) as logged:
            with pytest.raises(Crash):
                await logged.accept(picture(12))

    asyncio.run(uploads())
    (orphan,) = objects(settings) - {str(subject(record)) for record in read_all(settings, UPLOADED)}
    assert (len(objects(settings)), open_claims(settings)) == (3, 2)
    lake.create(settings)
    assert swept(settings) == 0  # the view has not passed the log's end: it knows of no image
    assert (len(objects(settings)), open_claims(settings)) == (3, 2)
    with stages(settings, "materializer"):
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.images") == [(2,)])
        assert swept(settings, grace_s=60) == 0
        assert swept(settings, dry_run=True) == 1
        assert orphan in objects(settings)
        assert swept(settings) == 1
        assert objects(settings) == {str(subject(record)) for record in read_all(settings, UPLOADED)}
        assert open_claims(settings) == 0  # the one whose mark was lost has it now
        assert swept(settings) == 0

    async def again() -> UUID:
        async with gateway(settings) as sound:
            for seed in (10, 12):
                with pytest.raises(DuplicateImage):
                    await sound.accept(picture(seed))
            return (await sound.accept(picture(11))).image_id

    assert str(asyncio.run(again())) not in (orphan, "")


def test_an_upload_under_way_is_not_swept(settings: Settings) -> None:
    lake.create(settings)

    async def both() -> int:
        async with claims_pool(settings.catalog_url.get_secret_value()) as pool:
            claims = Claims(pool)
            await claims.create()
            async with claims.hold("default", "0" * 64, uuids.uuid7()):
                return await sweep(settings, Store(settings.objects_url, 1_000_000), grace_s=-1)

    with stages(settings, "materializer"):
        assert asyncio.run(both()) == 0


def test_claims_are_many_at_once_and_one_that_is_cancelled_or_fails_lets_go(settings: Settings) -> None:
    """By two processes, so two sessions, on few bytes: never two at work on the same."""
    at_work, most, ends = Counter[str](), Counter[str](), Counter[str]()

    async def one(claims: Claims, number: int) -> None:
        sha256 = f"{number % 7:064}"
        try:
            async with claims.hold("default", sha256, uuids.uuid7()):
                at_work[sha256] += 1
                most[sha256] = max(most[sha256], at_work[sha256])
                try:
                    await asyncio.sleep(0.002)
                    if number < 40:
                        raise ValueError
                finally:
                    at_work[sha256] -= 1
        except (ValueError, DuplicateImage, asyncio.CancelledError) as error:
            ends[type(error).__name__] += 1
        else:
            ends["accepted"] += 1

    async def all_of_them() -> None:
        url = settings.catalog_url.get_secret_value()
        async with claims_pool(url) as mine, claims_pool(url) as theirs:
            both = Claims(mine), Claims(theirs)
            await both[0].create()
            tasks = [asyncio.create_task(one(both[n % 2], n)) for n in range(80)]
            for number in range(0, 40, 5):
                await asyncio.sleep(0.003)
                tasks[number].cancel()
            await asyncio.wait_for(asyncio.gather(*tasks), 30)
            for claims in both:
                with pytest.raises(DuplicateImage):
                    async with asyncio.timeout(30), claims.hold("default", f"{3:064}", uuids.uuid7()):
                        pass
            left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid <> 0"
            for _ in range(50):
                with lake.catalog(settings) as catalog:
                    ((locks,),) = catalog.execute(left).fetchall()
                if not locks:
                    break
                await asyncio.sleep(0.1)
            assert locks == 0

    asyncio.run(all_of_them())
    assert set(most.values()) == {1}
    assert ends["accepted"] == 7
    assert ends["DuplicateImage"] >= 33
    assert ends["ValueError"] > 0
    assert ends.total() == 80


def test_a_session_that_is_lost_fails_its_uploads_and_the_next_are_served(settings: Settings) -> None:
    async def losing(claims: Claims) -> None:
        async with claims.hold("default", "a", uuids.uuid7()):
            with lake.catalog(settings) as catalog:
                catalog.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    async def both() -> None:
        async with claims_pool(settings.catalog_url.get_secret_value()) as pool:
            claims = Claims(pool)
            await claims.create()
            with pytest.raises(CatalogUnavailable):
                await losing(claims)
            async with claims.hold("default", "a", uuids.uuid7()) as held:
                pass
            assert await claims.accepted(held)

    asyncio.run(both())


def test_a_log_that_refuses_is_said_and_the_bytes_may_come_again(settings: Settings) -> None:
    alter(settings, UPLOADED, "max.message.bytes", 100)

    async def uploads() -> UUID:
        async with gateway(settings) as ready:
            with pytest.raises(LogUnavailable, match="MessageSizeTooLarge"):
                await ready.accept(picture(4))
            alter(settings, UPLOADED, "max.message.bytes", 1_000_000)
            return (await ready.accept(picture(4))).image_id

    assert asyncio.run(uploads()) == subject(read_all(settings, UPLOADED)[0])
