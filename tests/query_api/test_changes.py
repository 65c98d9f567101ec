"""A stream by itself: it says that it lives, and ends when the view is another or the process stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI, Response
from starlette.types import Receive, Scope, Send

from query_api import changes
from query_api.access.caller import OPERATOR, Caller
from query_api.access.seal import Seal
from query_api.changes import Asked, Stream
from query_api.errors import Problem, ViewUnavailable
from query_api.stopping import Stopping
from query_api.view.changes import ALL, Place
from query_api.view.commits import Delta
from query_api.view.history import History
from query_api.view.reading import View
from query_api.view.recent import Recent
from streams.settings import Settings


def at(generation: str, snapshot: int) -> Recent:
    recent = Recent()
    recent.came(generation, snapshot, Delta(snapshot, {}, {}))
    return recent


def stream(recent: Recent, stopping: Stopping) -> Stream:
    settings = Settings()
    return Stream(
        View(settings), recent, History(settings), stopping, Seal(), OPERATOR, Asked(), "lake_1",
        Place(recent.at, ALL),
    )  # fmt: skip


def new_view(recent: Recent, _: Stopping) -> None:
    recent.came("lake_2", 1, Delta(1, {}, {}))


def stop(_: Recent, stopping: Stopping) -> None:
    stopping.tell()


@pytest.mark.parametrize("end", [new_view, stop])
def test_it_ends_at_once_with_the_view_and_with_the_process(end: Callable[[Recent, Stopping], None]) -> None:
    async def follow() -> list[bytes]:
        recent, stopping = at("lake_1", 7), Stopping()
        asyncio.get_running_loop().call_later(0.05, end, recent, stopping)
        async with asyncio.timeout(5):
            return [chunk async for chunk in stream(recent, stopping).chunks()]

    assert asyncio.run(follow()) == [b"retry: 1000\n:\nid: lake_1.7\n\n"]


def test_heartbeats_carry_the_place_that_others_changes_have_moved_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "HEARTBEAT_S", 0.05)

    async def follow() -> list[bytes]:
        recent = at("lake_1", 7)
        lines: AsyncIterator[bytes] = stream(recent, Stopping()).chunks()
        found = [await anext(lines), await anext(lines)]
        recent.came("lake_1", 7, Delta(9, {}, {}))
        return [*found, await anext(lines)]

    assert asyncio.run(follow())[1:] == [b":\nid: lake_1.7\n\n", b":\nid: lake_1.9\n\n"]


@pytest.mark.parametrize(("comes", "status"), [(True, 200), (False, 503)])
def test_a_process_that_has_just_started_is_given_the_time_to_read_the_view(
    monkeypatch: pytest.MonkeyPatch, comes: bool, status: int
) -> None:
    monkeypatch.setattr(changes, "FIRST_LOOK_S", 30 if comes else 0.3)

    async def follow() -> httpx.Response:
        settings, recent, stopping = Settings(), Recent(), Stopping()
        app = FastAPI()
        app.include_router(
            changes.routes(View(settings), recent, History(settings), Seal(), stopping, most=1)
        )
        app.add_exception_handler(ViewUnavailable, lambda *_: Response(status_code=503))

        async def as_operator(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": {"caller": OPERATOR}}, receive, send)

        def come() -> None:
            recent.came("lake_1", 7, Delta(7, {}, {}))
            loop.call_later(0.5, stopping.tell)  # ends the stream

        loop = asyncio.get_running_loop()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(as_operator), base_url="http://api"
        ) as client:
            if comes:
                loop.call_later(0.1, come)
            return await client.get("/changes")

    answer = asyncio.run(follow())
    assert answer.status_code == status
    assert not comes or "id: lake_1.7" in answer.text


@pytest.mark.parametrize(
    ("text", "status"),
    [("", 400), ("lake_1", 400), ("lake_1.x", 400), ("lake_1.1.2.3", 400), ("lake_2.1", 410), ("1.1", 410)],
)
def test_an_id_that_is_none_or_of_another_view_is_refused(text: str, status: int) -> None:
    with pytest.raises(Problem) as refused:
        changes.read(text, "lake_1", Seal(), OPERATOR)
    assert refused.value.status == status


def test_an_id_names_a_place_and_is_written_so_again() -> None:
    for text, place, passed in (("lake_1.7", Place(7, ALL), 7), ("lake_1.7.3", Place(7, 3), 6)):
        assert changes.read(text, "lake_1", Seal(), OPERATOR) == place
        assert changes.written("lake_1", place, Seal(), OPERATOR) == text
        assert place.passed == passed
    with pytest.raises(Problem):  # what is not sealed is nothing that a caller of one project was given
        changes.read("lake_1.7", "lake_1", Seal(), Caller("x", frozenset(), "p"))
