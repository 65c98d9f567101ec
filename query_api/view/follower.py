"""Following the catalog: each commit into the window, and word to those who wait for it.

A thread of its own. A commit tells of itself (`NOTIFY circles`, streams/ledger.sql); where that is lost, it
is seen at the next look. While the window is loaded, and where it cannot be followed, the lake is read.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import psycopg

from query_api.view.commits import Commits, Delta, Standing
from query_api.view.newest import ids
from query_api.view.reading import View
from query_api.view.recent import Recent
from query_api.view.rows import Gone
from query_api.view.waiting import At, Waiting
from query_api.view.window import Window
from streams import lake
from streams.errors import LakeRefused
from streams.settings import Settings
from streams.topics import ANNOTATED, UPLOADED

LOOK_S = 0.25
"""Between looks at the catalog when nothing tells of a commit: how old a notice of it can become."""
REST = 1.0
"""How many times as long as a commit took the next one waits: what comes meanwhile is added at once with it.
A commit costs about the same whatever its size, and who asks needs the processor, too."""
AGAIN_S = 0.5
OUTCOMES_S = 120
"""How old outcomes are told of at the start: longer than an upload waits, if clocks differ too."""
NEWEST = 2**62
AWAY = (psycopg.Error, duckdb.Error, LakeRefused, OSError)
"""What a catalog or a store raises that is away. A window is then as good as it was, and is followed on."""
log = logging.getLogger(__name__)


class NotApplied(Exception):
    """A commit is in the window in part."""


class Follower:
    """Keeps a view's window up to date from `start` to `stop`."""

    def __init__(self, settings: Settings, view: View, waiting: Waiting, recent: Recent) -> None:
        self._settings, self._view, self._waiting, self._recent = settings, view, waiting, recent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Begin, from the event loop on which others wait."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow(lake.live(self._settings))
            except Exception as error:
                if not isinstance(error, AWAY):
                    self._view.window = None  # it may have a part of a commit
                if not isinstance(error, (*AWAY, Gone)):
                    log.exception("following the view failed; it is loaded anew")
                said = lake.without_password(f"{type(error).__name__}: {error}").partition("\n")[0]
                log.warning("following the view, again in %.1f s: %s", AGAIN_S, said)
                self._tell(self._waiting.came, None)
                self._stop.wait(AGAIN_S)

    def _follow(self, generation: str) -> None:
        """Follow a generation as long as it is live. Raises what is in AWAY, Gone, NotApplied."""
        window: Window | None = None
        if self._view.window and self._view.window.generation != generation:
            self._view.window = None
        elif self._view.window:
            window = self._view.window  # the catalog was away: on from where it was
        with (
            lake.catalog(self._settings) as catalog,
            lake.connect(self._settings, read_only=True, generation=generation) as files,
        ):
            catalog.execute("LISTEN circles")
            files.execute("SET arrow_lossless_conversion = true")
            commits = Commits(self._settings, generation, catalog, files)
            loading = None if window else self._begin_to_load(generation)
            now = commits.standing(window.snapshot if window else NEWEST)
            at, folded = (window.snapshot, window.folded) if window else (now.snapshot, now.folded)
            if not window:  # what was folded before this is in no delta
                since = datetime.now(UTC) - timedelta(seconds=OUTCOMES_S)
                self._saw(generation, now, at, commits.outcomes(now, since))
            while not self._stop.is_set():
                now = commits.standing(at)
                if now.live != generation:
                    return
                # What the window has beyond `at` has to be told of first.
                if loading and loading.done() and loading.result().snapshot <= at:
                    window, loading = loading.result(), None
                    at, folded = window.snapshot, window.folded  # once more what came meanwhile
                    continue
                delta, began = commits.added(at, folded, now), time.monotonic()
                if window:
                    try:
                        window.apply(delta)
                        window.make_room()
                    except duckdb.Error as error:
                        raise NotApplied(str(error)) from error
                before, at, folded = at, delta.snapshot, delta.folded
                if at == now.snapshot:
                    self._view.window = window
                self._saw(generation, now, before, delta)
                if at == now.snapshot:
                    self._stop.wait(REST * (time.monotonic() - began))
                    list(catalog.notifies(timeout=LOOK_S, stop_after=1))

    def _begin_to_load(self, generation: str) -> Future[Window]:
        """A window, loaded by another thread: those who wait are told of commits meanwhile."""
        loaded: Future[Window] = Future()

        def load() -> None:
            try:
                loaded.set_result(self._load(generation))
            except Exception as error:  # whatever it is, the follower raises it
                loaded.set_exception(error)

        threading.Thread(target=load, name="load", daemon=True).start()
        return loaded

    def _load(self, generation: str) -> Window:
        files = lake.connect(self._settings, read_only=True, generation=generation)
        window = Window(generation, self._settings.window_images, files)
        with lake.catalog(self._settings) as catalog:
            folded = Commits(self._settings, generation, catalog, files).standing(NEWEST).folded
        window.load(folded)
        log.info("a window of %d images at snapshot %d", window.size(), window.snapshot)
        return window

    def _saw(self, generation: str, now: Standing, before: int, delta: Delta) -> None:
        at = (delta.snapshot, delta.folded) if self._view.window else (now.snapshot, now.folded)
        self._view.saw(generation, at[0], now.watermarks)
        outcomes = delta.of_uploads(), delta.tables.get("failures")
        come: dict[At, int] = {(UPLOADED.name, p): offset for p, offset in at[1].items()}
        come |= {(ANNOTATED.name, p): offset for p, offset in now.annotated.items()}
        come[generation] = at[0] + 1
        came = (ids(rows["image_id"]).tolist() if rows else () for rows in outcomes)
        self._tell(self._waiting.came, come, *came)
        self._tell(self._recent.came, generation, before, delta)

    def _tell(self, whom: Callable[..., None], *what: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(whom, *what)
