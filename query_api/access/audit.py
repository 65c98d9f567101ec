"""The audit log: one line for each request that was refused."""

from __future__ import annotations

import logging

from starlette.types import Scope

from query_api.errors import Problem

log = logging.getLogger("audit")


def refused(scope: Scope, who: str, problem: Problem) -> Problem:
    """Say who was refused what and why, without what they showed; returns the problem, to be raised."""
    client = (scope.get("client") or ("",))[0]
    facts = {
        "who": who, "method": scope["method"], "path": scope["path"][:500], "client": client,
        "status": problem.status, "reason": problem.detail,
    }  # fmt: skip
    # The path comes from anyone: as it would be written in Python, it cannot end the line.
    log.warning(
        "refused %(who)s from %(client)s: %(method)s %(path)r %(status)s %(reason)r", facts, extra=facts
    )
    return problem
