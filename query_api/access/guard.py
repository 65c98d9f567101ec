"""The layer before all routes: it decides once per request who calls, and whether they may."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from query_api.access.audit import refused
from query_api.access.caller import NOBODY, OPERATOR, Caller
from query_api.access.callers import Callers, InvalidKey, Rates
from query_api.access.known import Unavailable
from query_api.access.rules import Rule, Table
from query_api.access.tokens import InvalidToken
from query_api.errors import Problem, response

SEND = "send an API key or a token as 'Authorization: Bearer ...', or a key as 'X-API-Key: ...'"
CHALLENGE = 'Bearer realm="circles"'
INVALID = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}


class Guard:
    """ASGI middleware; the caller is in `scope["state"]["caller"]` for what is behind it.

    callers: None where authentication is off: then everyone is the operator.
    """

    def __init__(self, app: ASGIApp, callers: Callers | None, rates: Rates, table: Table) -> None:
        self._app, self._callers, self._rates, self._table = app, callers, rates, table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                rule = self._rule(scope)
                caller = OPERATOR if self._callers is None else NOBODY
                if self._callers and rule.right:
                    credential = _credential(scope)
                    caller = self._callers.known(credential) or await _ask(self._callers, scope, credential)
                    self._permit(scope, caller, rule)
                scope.setdefault("state", {})["caller"] = caller
            except Problem as problem:
                await response(problem, scope["path"])(scope, receive, send)
                return
        elif scope["type"] != "lifespan":
            await send({"type": "websocket.close", "code": 1008})  # no rule is for it
            return
        await self._app(scope, receive, send)

    def _rule(self, scope: Scope) -> Rule:
        """What the route needs. Raises Problem 404, 405."""
        methods = self._table.find(scope["path"])
        if methods is None:
            raise Problem(404, "Not Found")
        rule = methods.get(scope["method"])
        if rule is None:
            raise Problem(405, "Method Not Allowed", {"Allow": ", ".join(methods)})
        return rule

    def _permit(self, scope: Scope, caller: Caller, rule: Rule) -> None:
        """Raises Problem 403, 429."""
        try:
            self._rates.count(caller)
            if rule.right not in caller.rights:
                challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{rule.right}"'
                raise Problem(403, f"this needs the right {rule.right}", {"WWW-Authenticate": challenge})
            if caller.project is not None and not rule.limited:
                raise Problem(403, "this is for callers of all projects")
        except Problem as problem:
            raise refused(scope, caller.name, problem) from None


async def _ask(callers: Callers, scope: Scope, credential: str) -> Caller:
    """Who calls, looked up. Raises Problem 401, 503."""
    if not credential:
        raise refused(scope, NOBODY.name, Problem(401, SEND, {"WWW-Authenticate": CHALLENGE}))
    try:
        return await callers.caller(credential)
    except InvalidKey as error:
        raise refused(scope, error.who, Problem(401, str(error), INVALID)) from error
    except InvalidToken as error:
        raise refused(scope, NOBODY.name, Problem(401, str(error), INVALID)) from error
    except Unavailable as error:
        detail = "who calls cannot be looked up now: try again soon"
        raise Problem(503, detail, {"Retry-After": "2"}) from error


def _credential(scope: Scope) -> str:
    """What the caller shows, as it was sent; empty where nothing was."""
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return str(value[7:].strip(), "latin-1")
        if name == b"x-api-key":
            return str(value, "latin-1")
    return ""
