"""The terminal. What is printed comes from messages and tables: no part of it is markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

console = Console(markup=False, emoji=False, highlight=False)
failure = Console(stderr=True, style="red", markup=False, emoji=False, highlight=False)


def progress() -> Progress:
    """Bars on standard error, where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    errors = Console(stderr=True, markup=False)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True)
