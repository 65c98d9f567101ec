"""Named statements of an `.sql` file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files


def read_statements(package: str, file: str) -> Mapping[str, str]:
    """The statements of a package's file: each follows a line `-- name: <name>`."""
    return named(files(package).joinpath(file).read_text())


def named(sql: str) -> Mapping[str, str]:
    _, *parts = re.split(r"^-- name: (\w+)$", sql, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))
