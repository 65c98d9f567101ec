"""Following a real catalog: each commit, one that is away, one that expired, another generation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest
from pydantic import SecretStr

from deploy.local import postgres
from deploy.local.ports import free_ports
from deploy.local.supervise import running
from query_api.view.commits import Commits, Delta, Standing
from query_api.view.follower import Follower
from query_api.view.newest import Newest
from query_api.view.questions import Question
from query_api.view.reading import View
from query_api.view.recent import Recent
from query_api.view.waiting import Waiting
from query_api.view.window import Window
from streams import lake
from streams.maintenance import maintenance
from streams.settings import Settings
from streams.topics import UPLOADED
from tests.examples import detected, failed, uploaded
from tests.query_api.view.test_window import folding

SLOWEST_S = 30


class Followed(NamedTuple):
    settings: Settings
    view: View
    waiting: Waiting

    async def images(self) -> set[UUID]:
        return {row["image_id"] for row in await self.view.rows(Question("images", count=100))}


@asynccontextmanager
async def followed(settings: Settings, view: View | None = None) -> AsyncIterator[Followed]:
    """A view that is followed, once it has a window."""
    view, waiting = view or View(settings), Waiting()
    follower = Follower(settings, view, waiting, Recent())
    follower.start()
    try:
        await until(lambda: view.window is not None)
        yield Followed(settings, view, waiting)
    finally:
        await follower.stop()


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SLOWEST_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def image(number: int) -> UUID:
    return UUID(int=number << 64)


def fold(settings: Settings, *numbers: int) -> None:
    """Commit images, each with its detection, one commit each."""
    with folding(settings) as writer:
        for number in numbers:
            writer.commit([uploaded(image_id=image(number)), detected(image_id=image(number))])


def test_it_follows_outlives_the_catalog_and_says_how_old_its_answers_are(tmp_path: Path) -> None:
    [port] = free_ports(1)
    folder = tmp_path / "postgres"
    service = postgres.service(folder, port=port)
    settings = Settings(data_dir=tmp_path, catalog_url=SecretStr(postgres.url(folder, port=port)))

    async def run() -> None:
        with ExitStack() as catalog:
            catalog.enter_context(running(folder, service))
            lake.create(settings)
            fold(settings, 1)
            async with followed(settings) as found:
                assert await found.images() == {image(1)}
                wait = asyncio.create_task(found.waiting.detected(image(2), SLOWEST_S))
                await asyncio.to_thread(fold, settings, 2)
                assert await wait
                assert await found.waiting.passed({(UPLOADED.name, 0): 1}, SLOWEST_S) == {}
                assert await found.images() == {image(1), image(2)}
                assert found.view.newest(image(2), "default")
                assert found.view.newest(image(2), "another") is None

                catalog.pop_all().close()
                await asyncio.sleep(1.5)
                assert await found.images() == {image(1), image(2)}
                assert found.view.seen
                assert found.view.seen.age_s > 1

                catalog.enter_context(running(folder, service))
                wait = asyncio.create_task(found.waiting.detected(image(3), SLOWEST_S))
                await asyncio.to_thread(fold, settings, 3)
                assert await wait
                assert await found.images() == {image(1), image(2), image(3)}
                seen = found.view
                await until(lambda: seen.seen is not None and seen.seen.age_s < 1)

    asyncio.run(run())


def test_commits_that_expired_while_nobody_followed_make_it_load_anew(tmp_path: Path) -> None:
    with postgres.running_postgres(tmp_path / "postgres") as url:
        settings = Settings(
            data_dir=tmp_path, catalog_url=SecretStr(url), snapshot_retention_s=0, file_grace_s=0
        )
        lake.create(settings)
        fold(settings, 1)

        async def run() -> None:
            async with followed(settings) as found:
                before = found.view.window
            fold(settings, 2, 3)
            with maintenance(settings, lake.live(settings)) as upkeep:
                list(upkeep.steps(settings, thorough=True))
            async with followed(settings, found.view) as found:
                await until(lambda: found.view.window is not before)
                await until(lambda: found.view.window is not None)
                assert await found.images() == {image(1), image(2), image(3)}

        asyncio.run(run())


@pytest.mark.parametrize("error", [duckdb.OutOfMemoryException("no memory"), KeyError("what nobody foresaw")])
def test_a_commit_that_came_in_part_makes_it_load_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing = [error]
    put = Newest.put

    def put_and_fail(newest: Newest, detections: pa.Table, circles: pa.Table) -> None:
        put(newest, detections, circles)
        if failing and detections["image_id"].to_pylist() == [image(2)]:
            raise failing.pop()

    monkeypatch.setattr(Newest, "put", put_and_fail)
    with postgres.running_postgres(tmp_path / "postgres") as url:
        settings = Settings(data_dir=tmp_path, catalog_url=SecretStr(url))
        lake.create(settings)
        fold(settings, 1)

        async def run() -> None:
            async with followed(settings) as found:
                before = found.view.window
                await asyncio.to_thread(fold, settings, 2)
                await until(lambda: not failing)
                await until(lambda: found.view.window not in (None, before))
                rows = await found.view.rows(Question("images", outcome=("detected",), count=9))
                assert {row["image_id"] for row in rows} == {image(1), image(2)}

        asyncio.run(run())


def test_an_outcome_that_was_folded_while_nobody_followed_is_told(tmp_path: Path) -> None:
    """Else an upload whose view was switched, or whose commit fell into a gap, waits for nothing."""
    now = datetime.now(UTC)
    with postgres.running_postgres(tmp_path / "postgres") as url:
        settings = Settings(data_dir=tmp_path, catalog_url=SecretStr(url))
        lake.create(settings)
        with folding(settings) as writer:
            of_replay = detected(image_id=image(2), detected_at=now, replay_id=UUID(int=5))
            writer.commit(
                [
                    *(uploaded(image_id=image(number)) for number in range(1, 4)),
                    detected(image_id=image(1), detected_at=now),
                    of_replay,
                    failed(image_id=image(3), failed_at=now),
                ]
            )

        async def run() -> None:
            async with followed(settings) as found:
                assert await found.waiting.detected(image(1), SLOWEST_S)
                began = time.monotonic()
                assert not await found.waiting.detected(image(3), SLOWEST_S)
                assert time.monotonic() - began < SLOWEST_S / 2
                assert not await found.waiting.detected(image(2), 0.5)

        asyncio.run(run())


def test_a_commit_that_the_window_has_from_its_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is of a later snapshot than that which the follower began at, and there before it looks."""
    begun, loaded = threading.Event(), threading.Event()
    load, outcomes = Follower._load, Commits.outcomes

    def load_late(follower: Follower, generation: str) -> Window:
        begun.wait(SLOWEST_S)
        try:
            return load(follower, generation)
        finally:
            threading.Timer(0.1, loaded.set).start()

    def commit_meanwhile(commits: Commits, standing: Standing, since: datetime) -> Delta:
        found = outcomes(commits, standing, since)
        fold(settings, 1)
        begun.set()
        loaded.wait(SLOWEST_S)
        return found

    monkeypatch.setattr(Follower, "_load", load_late)
    monkeypatch.setattr(Commits, "outcomes", commit_meanwhile)
    with postgres.running_postgres(tmp_path / "postgres") as url:
        settings = Settings(data_dir=tmp_path, catalog_url=SecretStr(url))
        lake.create(settings)

        async def run() -> None:
            async with followed(settings) as found:
                assert await found.waiting.detected(image(1), SLOWEST_S)

        asyncio.run(run())
