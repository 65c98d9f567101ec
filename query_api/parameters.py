"""No parameter that is misspelt passes for one that was not given."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from fastapi import Request

from query_api.errors import Problem


async def only_known(request: Request) -> None:
    """A dependency of routes whose parameters are all of ours: clients of earlier systems may send others.

    Raises Problem 422 for one that the document of the route does not name.
    """
    if not request.query_params:
        return
    route: Any = request.scope["route"]
    operation = request.app.openapi()["paths"][route.path][request.method.lower()]
    known = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
            raise Problem(422, f"there is no parameter {name[:80]!r}: {meant}")
