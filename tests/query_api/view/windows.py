"""Views to be read in tests: over the lake alone, or with a window that was loaded or that has followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from query_api.view.commits import Commits
from query_api.view.follower import NEWEST
from query_api.view.reading import View
from query_api.view.times import Times
from query_api.view.window import Window
from streams import lake
from streams.settings import Settings

MOST = 1_000_000


@contextmanager
def following(settings: Settings) -> Iterator[Commits]:
    """The commits of the live view."""
    generation = lake.live(settings)
    with (
        lake.catalog(settings) as catalog,
        lake.connect(settings, read_only=True, generation=generation) as files,
    ):
        files.execute("SET arrow_lossless_conversion = true")
        yield Commits(settings, generation, catalog, files)


def loaded(settings: Settings, most_images: int = MOST) -> Window:
    """A window of the live view as it is now."""
    window = Window(lake.live(settings), most_images, lake.connect(settings, read_only=True))
    with following(settings) as commits:
        window.load(commits.standing(NEWEST).folded)
    return window


def follow(commits: Commits, window: Window) -> None:
    """Bring a window up to date."""
    while (now := commits.standing(window.snapshot)).snapshot > window.snapshot:
        window.apply(commits.added(window.snapshot, window.folded, now))
        window.make_room()


def over(settings: Settings, window: Window | None) -> View:
    """A view that nothing follows, with a window."""
    view = View(settings)
    if window is not None:
        finely(window)
    view.window = window
    return view


def finely(window: Window) -> None:
    """Have a window of few images look back over their times as it does over those of many."""
    window.times = Times(step=1)
    with window.reading() as cursor:
        times = cursor.execute("SELECT uploaded_at FROM images WHERE uploaded_at NOT NULL ORDER BY ALL")
        window.times.load(time for (time,) in times.fetchall())
