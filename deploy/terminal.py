"""The terminal. What is printed comes from messages and tables: no part of it is markup."""

from rich.console import Console

console = Console(markup=False, emoji=False, highlight=False)
failure = Console(stderr=True, style="red", markup=False, emoji=False, highlight=False)
