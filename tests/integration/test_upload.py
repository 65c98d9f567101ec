"""The gateway on a real log: what a crash leaves at each point is finished by the next upload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from streams.codec import Codec
from streams.errors import DuplicateImage, LogUnavailable
from streams.ingest.claims import Claims, claims_pool
from streams.ingest.upload import Accepted, Gateway
from streams.records import Record
from streams.settings import Settings
from streams.store import Store
from streams.topics import UPLOADED
from tests.integration.flow import alter, picture, read_all


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
        async with Gateway(
            settings, codec or Codec(), Store(settings.objects_url, 10_000_000), ours
        ) as ready:
            yield ready


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
    assert [record.image_id for record in read_all(settings, UPLOADED)] == [image_id]
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
    assert [record.image_id for record in read_all(settings, UPLOADED)] == ids * 2


def test_uploads_of_the_same_bytes_at_the_same_moment_are_one_image(settings: Settings) -> None:
    async def uploads() -> list[Accepted | BaseException]:
        async with gateway(settings) as one, gateway(settings) as other:
            calls: list[Awaitable[Accepted]] = [g.accept(picture(3)) for g in (one, other, one, other)]
            return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(uploads())
    (image_id,) = [outcome.image_id for outcome in outcomes if isinstance(outcome, Accepted)]
    assert [o.image_id for o in outcomes if isinstance(o, DuplicateImage)] == [image_id] * 3
    assert len(read_all(settings, UPLOADED)) == 1


def test_a_log_that_refuses_is_said_and_the_bytes_may_come_again(settings: Settings) -> None:
    alter(settings, UPLOADED, "max.message.bytes", 100)

    async def uploads() -> UUID:
        async with gateway(settings) as ready:
            with pytest.raises(LogUnavailable, match="MessageSizeTooLarge"):
                await ready.accept(picture(4))
            alter(settings, UPLOADED, "max.message.bytes", 1_000_000)
            return (await ready.accept(picture(4))).image_id

    assert asyncio.run(uploads()) == read_all(settings, UPLOADED)[0].image_id
