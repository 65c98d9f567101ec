"""The terminal. What is printed comes from messages and tables: no part of it is markup."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

# A file or a pipe has no width: rows are not broken there, unless COLUMNS says where.
_WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 240
console = Console(width=_WIDTH, markup=False, emoji=False, highlight=False)
failure = Console(stderr=True, style="red", markup=False, emoji=False, highlight=False)


def counted(count: int, one: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def say_left(others: Counter[str]) -> None:
    """Say which files of folders are none of the images that are asked for, by how their names end."""
    if others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in others.most_common(5))
        more = ", ..." if len(others) > 5 else ""
        print(f"left where they are, as no .jpg, .jpeg, .png or .webp: {kinds}{more}", file=sys.stderr)


def progress() -> Progress:
    """Bars on standard error, where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    errors = Console(stderr=True, markup=False)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True)
