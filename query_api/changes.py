"""`GET /changes`: what becomes of images, told to whoever follows; who comes back misses nothing."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from query_api.access.caller import Caller, calling
from query_api.access.seal import Seal
from query_api.errors import Problem, ViewUnavailable
from query_api.filters import Text
from query_api.parameters import only_known
from query_api.patterns import OPAQUE
from query_api.stopping import Stopping
from query_api.view.changes import ALL, Change, Kind, Place, wanted
from query_api.view.history import History
from query_api.view.reading import View
from query_api.view.recent import Piece, Recent
from query_api.view.rows import Gone

HEARTBEAT_S = 15.0
LASTS_S = 600.0
"""Then a stream ends, and whoever comes back is asked again who they are: keys are revoked."""
FIRST_LOOK_S = 5.0
"""How long who follows is kept waiting for the view to be read, in a process that has just started."""
TAKEN_IN_S = 30.0
"""Who takes nothing for so long is cut, and can come back."""
AT_ONCE = 100
"""Events written together."""
RETRY_MS = 1000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_ID = re.compile(r"(\w{1,60})\.(\d{1,18})(?:\.(\d{1,9}))?", re.ASCII)

LastEventId = Annotated[str, Header(json_schema_extra={"pattern": OPAQUE})]


class Asked(BaseModel):
    """The parameters of `GET /changes`. All that are given have to hold."""

    source: Text | None = Field(None, description="camera or service; empty: images that named none")
    kind: list[Kind] = Field([], description="several to have any of them; none: all")


def written(generation: str, place: Place, seal: Seal, caller: Caller) -> str:
    """An event's id. Of callers of one project it is sealed, always in the same length."""
    if caller.project is not None:
        return seal.close(f"{generation}.{place.snapshot:018d}.{place.number:09d}", caller)
    return f"{generation}.{place.snapshot}" + (f".{place.number}" if place.number < ALL else "")


def read(text: str, generation: str, seal: Seal, caller: Caller) -> Place:
    """The place that an id names. Raises Problem 400, and 410 where its generation is not the live one."""
    match = _ID.fullmatch(seal.open(text, caller))
    if not match:
        raise Problem(400, "Last-Event-ID is the id of an event, like lake_1.1207.3")
    if match[1] != generation:
        raise Problem(410, "that is of a view that is not live any more: read the lists, and follow from now")
    return Place(int(match[2]), ALL if match[3] is None else int(match[3]))


@dataclass(slots=True)
class Stream:
    """One who follows, from a place on. ahead: what was read of the lake for them already."""

    view: View
    recent: Recent
    history: History
    stopping: Stopping
    seal: Seal
    caller: Caller
    asked: Asked
    generation: str
    place: Place
    ahead: Piece | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Lines of `text/event-stream`, until the view is another, this process stops or time is up."""
        began = sent = time.monotonic()
        yield b"retry: %d\n" % RETRY_MS + self._here()  # who leaves before the first event comes back here
        while self._goes_on() and (now := time.monotonic()) < began + LASTS_S:
            if now - sent >= HEARTBEAT_S:
                yield self._here()
                sent = now
            if self.ahead is None and self.recent.at <= self.place.passed:
                await self._news(sent + HEARTBEAT_S - now)
                continue
            try:
                found, until = await self._next()
            except (Gone, ViewUnavailable):
                return  # who comes back is told
            if until <= self.place.passed:
                return
            for begin in range(0, len(found), AT_ONCE):
                yield b"".join(map(self._event, found[begin : begin + AT_ONCE]))
                sent = time.monotonic()
            self.place = Place(until, ALL)

    def _goes_on(self) -> bool:
        return not self.stopping.told and self.recent.generation == self.generation

    async def _news(self, patience_s: float) -> None:
        with suppress(TimeoutError):
            async with self.stopping.cut(), asyncio.timeout(patience_s):
                await self.recent.news()

    async def _next(self) -> tuple[Sequence[Change], int]:
        """The next changes that are asked for, and the snapshot up to which that is all. Raises Gone."""
        piece, self.ahead = self.ahead or self.recent.piece(self.place.passed), None
        if piece is None:
            piece = await self.history.piece(self.generation, self.place.passed)
        found = await piece.changes(self.view)
        return wanted(found, self.place, self.caller.project, self.asked.source, self.asked.kind), piece.until

    def _here(self) -> bytes:
        """A comment, and an id without an event: as far as this client has come, though it saw nothing."""
        return b":\nid: %b\n\n" % self._id(self.place)

    def _event(self, change: Change) -> bytes:
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (
            self._id(change.place), change.kind.encode(), change.data,
        )  # fmt: skip

    def _id(self, place: Place) -> bytes:
        return written(self.generation, place, self.seal, self.caller).encode()


class Answer(StreamingResponse):
    """A stream to somebody who takes what is sent."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Message) -> None:
            async with asyncio.timeout(TAKEN_IN_S):
                await send(message)

        with suppress(TimeoutError):
            await super().stream_response(in_time)


def routes(
    view: View, recent: Recent, history: History, seal: Seal, stopping: Stopping, most: int
) -> APIRouter:
    """The router over its parts. most: streams at once."""
    router = APIRouter(tags=["changes"], dependencies=[Depends(only_known)])
    streams: set[Request] = set()

    async def place(request: Request) -> AsyncIterator[None]:
        if len(streams) >= most:
            raise Problem(503, f"{most} follow already, as many as this API has", {"Retry-After": "5"})
        streams.add(request)
        try:
            yield  # until all of the answer is sent, or nobody takes it
        finally:
            streams.discard(request)

    async def live() -> str:
        """The generation that is followed; a process that has just started is given the time to begin."""
        with suppress(TimeoutError):
            async with stopping.cut(), asyncio.timeout(FIRST_LOOK_S):
                while not recent.generation:
                    await recent.news()
        if not recent.generation:
            raise ViewUnavailable("the view is not read yet")
        return recent.generation

    @router.get("/changes", response_class=Answer, dependencies=[Depends(place)])
    async def changes(
        request: Request, asked: Annotated[Asked, Query()], last_event_id: LastEventId = ""
    ) -> Answer:
        """Each image's upload, detection and failure as it comes into the view, as server-sent events.

        From now on; with the `Last-Event-ID` of an earlier stream, from behind that event on, without gap or
        repeat. `snapshot` of a list is such an id, too. Heartbeats carry an id, so that one who filters has a
        recent one. An outcome that comes before its upload has `source_id` null, and is of any source.
        """
        generation, caller = await live(), calling(request)
        stream = Stream(
            view, recent, history, stopping, seal, caller, asked, generation, Place(recent.at, ALL)
        )
        if last_event_id:
            stream.place = read(last_event_id, generation, seal, caller)
            if not recent.has(stream.place.passed):
                try:
                    stream.ahead = await history.piece(generation, stream.place.passed)
                except Gone as error:
                    raise Problem(410, "what followed that event is not kept any more") from error
        return Answer(stream.chunks(), headers=HEADERS)

    return router
