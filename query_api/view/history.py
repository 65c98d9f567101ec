"""Changes that are no longer in memory, read from the lake by the commits that made them, piece by piece."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import duckdb
import psycopg

from query_api.errors import ViewUnavailable
from query_api.view.commits import Commits
from query_api.view.recent import Piece
from query_api.view.rows import TOLD, Gone
from streams import lake
from streams.errors import LakeRefused
from streams.settings import Settings

MESSAGES = 2_000
"""Of the log, in one piece, so that many can catch up at once; one commit at least."""


class History:
    """Of the live generation, on connections of its own: one read at a time, however many catch up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "history")
        self._open = ExitStack()
        self._commits: Commits | None = None

    async def piece(self, generation: str, after: int) -> Piece:
        """The next changes after a snapshot; none where it is the newest.

        Raises Gone where the commits are not kept, or the generation is not live; ViewUnavailable.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, generation, after)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._forget)
        self._thread.shutdown()

    def _read(self, generation: str, after: int) -> Piece:
        try:
            commits = self._connected(generation)
            standing = commits.standing(after)
            if standing.live != generation:
                raise Gone(f"{generation} is not the live view any more")
            return Piece(after, commits.added(after, {}, standing, TOLD, MESSAGES))
        except Gone:
            raise
        except (psycopg.Error, duckdb.Error, LakeRefused, OSError) as error:
            self._forget()
            raise ViewUnavailable("the view's catalog or file store does not answer") from error

    def _connected(self, generation: str) -> Commits:
        if self._commits is None or self._commits.generation != generation:
            self._forget()
            catalog = self._open.enter_context(lake.catalog(self._settings))
            files = lake.connect(self._settings, read_only=True, generation=generation)
            self._open.enter_context(files)
            files.execute("SET arrow_lossless_conversion = true")
            self._commits = Commits(self._settings, generation, catalog, files)
        return self._commits

    def _forget(self) -> None:
        self._commits = None
        self._open.close()
