"""The commands `circles rebuild` and `circles views list|drop|switch`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from deploy.terminal import console
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.compare import Compared
    from streams.rebuild import Progress as Told

views = typer.Typer(
    no_args_is_help=True, help="The views there are: the live one, those being built or retired."
)
Force = Annotated[
    bool,
    typer.Option("--force", help="Also where the log is shorter than the live view, or the views differ."),
]


def rebuild(
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Drop one that was interrupted, and begin anew.")
    ] = False,
    force: Force = False,
    only_compare: Annotated[
        bool, typer.Option("--only-compare", help="Build and compare; leave the live view live.")
    ] = False,
) -> None:
    """Fold a fresh view from the log beside the live one, compare the two, and switch to it.

    Reads and uploads go on meanwhile. May be interrupted: the next `circles rebuild` goes on where it was.
    """
    build(afresh=afresh, force=force, only_compare=only_compare)


@views.command("list")
def list_() -> None:
    """List the views, oldest first, with what each holds."""
    from streams import generations, lake

    with lake.catalog(Settings.load()) as catalog:
        found = generations.listed(catalog)
    table = Table("view", "state", "made", "files", "rows")
    for each in found:
        rows = ", ".join(f"{count:,} {name}" for name, count in each.rows.items())
        table.add_row(each.name, each.state, f"{each.made_at:%Y-%m-%d %H:%M}", decimal(each.size_bytes), rows)
    console.print(table)


@views.command()
def drop(
    names: Annotated[list[str] | None, typer.Argument(help="As in `list`.")] = None,
    retired: Annotated[bool, typer.Option("--retired", help="All that are retired.")] = False,
) -> None:
    """Delete views that are not live, with their files."""
    from streams import generations, lake

    if bool(names) == retired:
        raise ValueError("name views, or say --retired")
    settings = Settings.load()
    if retired:
        with lake.catalog(settings) as catalog:
            names = [each.name for each in generations.listed(catalog) if each.state == "retired"]
    for name in names or []:
        dropped = generations.drop(settings, name)
        console.print(f"dropped {name}: {decimal(dropped.size_bytes)} in files")
    if not names:
        console.print("no view is retired")


@views.command()
def switch(name: Annotated[str, typer.Argument(help="A retired view.")], force: Force = False) -> None:
    """Go back to a view: fold into it what came since, compare it with the live one, and switch to it."""
    build(name, force=force)


def build(
    name: str | None = None,
    *,
    afresh: bool = False,
    force: bool = False,
    only_compare: bool = False,
    damaged: Collection[str] = (),
) -> None:
    """Build a view, compare it with the live one, and switch to it. damaged: tables that may differ."""
    from streams.errors import ViewsDiffer
    from streams.rebuild import building, told

    with _interruptible(name), building(Settings.load(), name, afresh=afresh, force=force) as view:
        console.print(f"{view.generation} is folded beside {view.live}, which stays live meanwhile")
        if view.lost:
            console.print(told(view.lost), soft_wrap=True)
        with _bar() as progress:
            view.follow(progress)
        console.print("level; comparing")
        compared = view.compare()
        _show(compared)
        apart = [each.table for each in compared if each.difference and not each.difference.harmless]
        differ = [table for table in apart if table not in damaged]
        if differ and not (force or only_compare):
            raise ViewsDiffer(
                f"the views differ in {', '.join(differ)}: {view.live} stays live."
                f" If {view.generation} is right, switch to it with --force"
            )
        if only_compare:
            console.print(
                f"{view.live} stays live; {view.generation} is kept for `circles rebuild` to go on with"
            )
            raise typer.Exit(1 if differ else 0)
        with _bar() as progress:
            view.switch(progress)
    console.print(f"{view.generation} is live; {view.live} is kept until `circles views drop {view.live}`")


def _show(compared: Sequence[Compared]) -> None:
    table = Table("table", "rows", "checksum", "live view's rows", "checksum", "")
    for each in compared:
        equal = (
            "equal" if each.difference is None else "places differ" if each.difference.harmless else "differs"
        )
        sums = [
            f"{part:,}" if i == 0 else f"{part:016x}"
            for s in (each.fresh, each.live)
            if s
            for i, part in enumerate(s)
        ]
        table.add_row(each.table, *sums, *["?"] * (4 - len(sums)), equal)
    console.print(table)
    for each in compared:
        if each.difference:
            console.print(f"{each.table}: {each.difference}", soft_wrap=True)


@contextmanager
def _interruptible(name: str | None) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        again = f"circles views switch {name}" if name else "circles rebuild"
        console.print(f"interrupted; nothing was switched, and `{again}` goes on where this ended")
        raise typer.Exit(130) from None


class _Rate(ProgressColumn):
    """Messages a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


@contextmanager
def _bar() -> Iterator[Told]:
    """A bar of messages, with the time left."""
    columns = (
        TextColumn("folding"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} messages"),
    )
    with Progress(*columns, _Rate(), TimeRemainingColumn(), console=console) as bar:
        tasks: list[TaskID] = []

        def tell(done: int, total: int) -> None:
            if not tasks:  # what was folded before does not count for the rate
                tasks.append(bar.add_task("", total=total, completed=done))
            bar.update(tasks[0], total=total, completed=done)

        yield tell
