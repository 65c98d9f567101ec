"""Who sent a request, and what they may."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from fastapi import Request

from query_api.access.audit import refused
from query_api.errors import Problem

Right = Literal["ingest", "read", "administer"]
RIGHTS: frozenset[Right] = frozenset(get_args(Right))
DEFAULT_PROJECT = "default"
EVERY = "*"
"""In a claim of a token: all projects. No project can have this name."""
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as the audit log names them; `project` None: of all projects."""

    name: str
    rights: frozenset[Right]
    project: str | None


OPERATOR = Caller("anyone", RIGHTS, None)
"""Whoever calls while authentication is off."""
NOBODY = Caller("nobody", frozenset(), "")
"""Whoever calls a route that asks nobody; no image has the project of that name."""


def calling(request: Request) -> Caller:
    """Who sent the request."""
    caller: Caller = request.scope["state"]["caller"]
    return caller


def project_name(text: str) -> str:
    """A project's name as it was given. Raises ValueError for one that cannot be."""
    if not _PROJECT.fullmatch(text):
        raise ValueError(f"a project's name is up to 64 letters, digits and ._-, not {text[:80]!r}")
    return text


def project_for(request: Request, asked: str) -> str:
    """The project that an upload goes to; `asked` is empty where none was named.

    Raises Problem 403 where it is not the caller's, 422 where it cannot be one.
    """
    caller = calling(request)
    if caller.project is not None:
        if asked not in ("", caller.project):
            detail = f"you upload to project {caller.project} only: leave the field 'project' out"
            raise refused(request.scope, caller.name, Problem(403, detail))
        return caller.project
    try:
        return project_name(asked or DEFAULT_PROJECT)
    except ValueError as error:
        raise Problem(422, f"project: {error}") from error
