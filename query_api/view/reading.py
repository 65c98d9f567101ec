"""Reading the view: a question goes to the window where that has all that may answer it, else to the lake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import duckdb
import pyarrow as pa

from query_api.errors import SnapshotGone
from query_api.view.commits import Position
from query_api.view.counting import counts
from query_api.view.lake_reading import Answer, Fetch, LakeReading, execute
from query_api.view.newest import Circle, Model
from query_api.view.pages import page
from query_api.view.questions import QUERIES, Question
from query_api.view.timeline import Timeline
from query_api.view.window import Window
from streams.settings import Settings

READS_AT_ONCE = 8
CANDIDATES = 10
"""So many times the images of a page are looked at first, and again so many when they do not fill it."""
Made = Callable[[Timeline, Question, datetime], list[dict[str, Any]] | None]
FIRST = datetime.min.replace(tzinfo=UTC)


class Seen(NamedTuple):
    """What an answer is read from: a snapshot of a generation.

    watermark: every upload before that of its partition is detected or failed. at: of time.monotonic, when
    it was the newest.
    """

    generation: str
    number: int
    watermark: str
    at: float

    @property
    def snapshot(self) -> str:
        return f"{self.generation}.{self.number}"

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.at


class View:
    """The live view. The follower keeps its window and says what it saw of the catalog."""

    def __init__(self, settings: Settings) -> None:
        self._lake = LakeReading(settings)
        # Of its own: slow reads of the lake leave the threads of uploads alone.
        self._threads = ThreadPoolExecutor(READS_AT_ONCE, "view")
        self.window: Window | None = None
        self.seen: Seen | None = None
        """None before the first look at the catalog."""

    @property
    def generation(self) -> str | None:
        """The one whose positions are waited for; for a moment the live one may be another."""
        return self.seen.generation if self.seen else None

    def saw(self, generation: str, snapshot: int, watermarks: Position) -> None:
        """Note what is read from now on."""
        written = ",".join(f"{partition}-{offset}" for partition, offset in sorted(watermarks.items()))
        self.seen = Seen(generation, snapshot, written, time.monotonic())

    def newest(self, image_id: UUID, project: str | None, model: Model | None = None) -> list[Circle] | None:
        """The circles of an image's served detection; None where the window does not have it.

        project: the one that the image has to be of; model: whose detection it has to be; None: any.
        """
        window = self.window  # the follower may let it go meanwhile
        return window.newest.get(image_id, project, model) if window else None

    async def rows(self, question: Question, snapshot: int | None = None) -> list[dict[str, Any]]:
        """The answer, now or as of a snapshot of the lake. Raises ViewUnavailable, SnapshotGone, TooLong."""
        # A page takes less time than to hand it to a thread.
        found = self._without_query(page, question) if snapshot is None else None
        return await self._on_thread(self._rows, question, snapshot) if found is None else found

    async def table(self, question: Question, snapshot: int | None = None) -> pa.Table:
        """The answer as Arrow has it. Raises as `rows` does."""
        return await self._on_thread(self._ask, question, snapshot, as_table, len)

    async def circles(
        self, wanted: Mapping[UUID, Model | None], project: str | None, snapshot: int | None = None
    ) -> dict[UUID, list[Circle]]:
        """The circles of a detection of each of some images, best score first.

        wanted: by image the model whose detection is meant, as a row of the image has it: what is served may
        be another's by now. None: what is served, whosever it is. project: the one that the images have to
        be of; None: any. Raises as `rows`.
        """
        found: dict[UUID, list[Circle]] = {}
        left: dict[Model | None, list[UUID]] = {}
        for image_id, model in wanted.items():
            newest = self.newest(image_id, project, model) if snapshot is None else None
            if newest is None:
                left.setdefault(model, []).append(image_id)
            else:
                found[image_id] = newest
        for model, images in left.items():
            question = Question(
                "circles",
                ("among",),
                model=("model", "version") if model else (),
                values={"images": images} | dict(zip(("model", "version"), model or (), strict=False)),
                order="image_id, score DESC, object_id",
            )
            for row in await self.rows(question.within(project), snapshot):
                circle = Circle(row["object_id"].bytes, *(row[name] for name in Circle._fields[1:]))
                found.setdefault(row["image_id"], []).append(circle)
        return found

    async def snapshot(self, generation: str | None, number: int) -> int:
        """A snapshot that is still kept. Raises SnapshotGone, ViewUnavailable."""
        if generation not in (None, self.generation):
            raise SnapshotGone(f"{generation} is not the live view any more")
        if not await self.lake_rows("snapshot", number=number):
            raise SnapshotGone(f"snapshot {number} is not kept any more, or not there yet")
        return number

    async def snapshot_at(self, moment: datetime) -> int:
        """The newest snapshot of some time. Raises SnapshotGone, ViewUnavailable."""
        (found,) = await self.lake_rows("snapshot_at", moment=moment)
        if found["snapshot"] is None:
            raise SnapshotGone("the view as it was then is not kept any more")
        return int(found["snapshot"])

    async def lake_rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query of queries.sql that names the lake's tables itself. Raises ViewUnavailable."""
        return await self._on_thread(self._lake.newest, QUERIES[query], values, as_rows)

    async def lake_rows_at(self, query: str, snapshot: int | None, **values: Any) -> list[dict[str, Any]]:
        """The same of one with `{at}` behind its tables; snapshot None: as what is followed is now.

        Raises SnapshotGone, too.
        """

        def text(found: int | None) -> str:
            still_kept(snapshot, found)
            return QUERIES[query].replace("{at}", "" if found is None else f"AT (VERSION => {found:d})")

        at = self.generation, snapshot
        return await self._on_thread(self._lake.near, at, text, values, as_rows)

    async def _on_thread(self, read: Callable[..., Answer], *arguments: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read, *arguments)

    def _rows(self, question: Question, snapshot: int | None) -> list[dict[str, Any]]:
        found = self._without_query(counts, question) if snapshot is None else None
        return self._ask(question, snapshot, as_rows, len) if found is None else found

    def _without_query(self, made: Made, question: Question) -> list[dict[str, Any]] | None:
        """The answer where that takes no query, else None."""
        window = self.window
        if window is None or (question.of_others and not window.one_model):
            return None
        since = window.since
        found = made(window.timeline, question, since or FIRST)
        whole = found is not None and question.is_answered(len(found), since)
        return found if whole and window.since == since else None

    def _ask(
        self, question: Question, snapshot: int | None, fetch: Fetch[Answer], size: Callable[[Answer], int]
    ) -> Answer:
        window = self.window
        if window is not None and snapshot is None and (window.one_model or not question.of_others):
            since = window.since
            answer = self._of_window(window, question, since, fetch, size)
            if question.is_answered(size(answer), since) and window.since == since:
                return answer
        if not question.newest_first:
            return self._of_lake(question, None, snapshot, fetch)
        # Of the newest images that may be part of the answer, and of more where these do not fill it.
        assert question.count is not None
        candidates = question.count * (CANDIDATES if question.outcome else 1)
        while True:
            answer = self._of_lake(question, candidates, snapshot, fetch)
            if size(answer) >= question.count:
                return answer
            looked_at = Question("candidates", question.own, values=question.values)
            ((count,),) = self._of_lake(looked_at, candidates, snapshot, fetch_all)
            if count < candidates:
                return answer
            candidates *= CANDIDATES

    def _of_window(
        self,
        window: Window,
        question: Question,
        since: datetime | None,
        fetch: Fetch[Answer],
        size: Callable[[Answer], int],
    ) -> Answer:
        text, first = question.of_window(), since or FIRST
        with window.reading() as cursor:
            for floor in window.times.back(question.before) if question.newest_first else ():
                if floor <= max(first, question.since or FIRST):
                    break
                answer = fetch(execute(cursor, text, {**question.values, "floor": floor}))
                if size(answer) >= (question.count or 0):
                    return answer
            return fetch(execute(cursor, text, {**question.values, "floor": first}))

    def _of_lake(
        self, question: Question, candidates: int | None, snapshot: int | None, fetch: Fetch[Answer]
    ) -> Answer:
        # As of what the window is at: else an image that was seen could be missing from the next answer.
        at: tuple[str | None, int] | None = self.seen and (self.seen.generation, self.seen.number)
        if snapshot is not None:
            at = self.generation, snapshot

        def text(found: int | None) -> str:
            still_kept(snapshot, found)
            return question.of_lake(candidates, found)

        return self._lake.near(at, text, question.values, fetch)


def still_kept(wanted: int | None, found: int | None) -> None:
    """Raises SnapshotGone where a snapshot is wanted and only the newest one was found."""
    if wanted is not None and found is None:
        raise SnapshotGone(f"snapshot {wanted} is not kept any more, or had not all of its tables yet")


def as_rows(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def fetch_all(result: duckdb.DuckDBPyConnection) -> list[Any]:
    return result.fetchall()


def as_table(result: duckdb.DuckDBPyConnection) -> pa.Table:
    return result.to_arrow_table()
