"""What each route needs: one table. A route that is not in it is answered with 404, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from query_api.access.caller import Right


@dataclass(frozen=True, slots=True)
class Rule:
    """The right that a route needs; None: it asks nobody.

    limited: its answer to a caller of one project is made of that project's rows alone. Other routes
    refuse such a caller, so a new one shows nothing of others' before it was thought of.
    """

    right: Right | None
    limited: bool = False


FREE = Rule(None)
RULES: Mapping[str, Mapping[str, Rule]] = {
    # The page, its reference and whether we are well: the same for everyone, and nobody's data.
    "/": {"GET": FREE},
    "/docs": {"GET": FREE},
    "/docs/oauth2-redirect": {"GET": FREE},
    "/redoc": {"GET": FREE},
    "/openapi.json": {"GET": FREE},
    "/health": {"GET": FREE},
    "/health/live": {"GET": FREE},
    "/health/ready": {"GET": FREE},
    "/metrics": {"GET": Rule("administer")},
    "/config": {"GET": Rule("administer")},
    "/status": {"GET": Rule("read", limited=True)},
    "/images": {"GET": Rule("read", limited=True), "POST": Rule("ingest", limited=True)},
    "/images/": {"POST": Rule("ingest", limited=True)},
    "/images/{image_id}": {"GET": Rule("read", limited=True)},
    "/images/{image_id}/content": {"GET": Rule("read", limited=True)},
    "/images/{image_id}/thumbnail": {"GET": Rule("read", limited=True)},
    "/images/{image_id}/overlay": {"GET": Rule("read", limited=True)},
    "/images/{image_id}/annotations": {
        "GET": Rule("read", limited=True),
        "PUT": Rule(
            "ingest", limited=True
        ),  # it adds to the log what is never taken from it, as an upload does
    },
    "/images/objects": {"POST": Rule("read", limited=True)},
    "/images/{image_id}/objects": {"GET": Rule("read", limited=True)},
    "/images/{image_id}/objects/{object_id}": {"GET": Rule("read", limited=True)},
    "/sql": {"POST": Rule("read", limited=True)},
    "/changes": {"GET": Rule("read", limited=True)},
    "/objects": {"GET": Rule("read", limited=True)},
    "/comparisons": {"GET": Rule("read", limited=True)},
    "/comparisons/images": {"GET": Rule("read", limited=True)},
    "/replays": {"GET": Rule("read"), "POST": Rule("administer")},
    "/replays/{replay_id}": {"GET": Rule("read")},
    "/replays/{replay_id}/progress": {"GET": Rule("read")},
    "/replays/{replay_id}/pause": {"POST": Rule("administer")},
    "/replays/{replay_id}/resume": {"POST": Rule("administer")},
    "/replays/{replay_id}/cancel": {"POST": Rule("administer")},
    "/promotions": {"GET": Rule("read"), "POST": Rule("administer")},
    **{
        f"/statistics/{of}": {"GET": Rule("read", limited=True)}
        for of in ("images", "latency", "radius", "score")
    },
}


class Table:
    """The rules by path; a `{name}` stands for one segment that is not empty, as in the router."""

    def __init__(self, rules: Mapping[str, Mapping[str, Rule]] = RULES) -> None:
        # A word goes before a pattern that takes it as well: GET /images/objects is no image's.
        self._plain = {path: methods for path, methods in rules.items() if "{" not in path}
        # By the number of segments: which of them are words, and the rules by those words.
        self._patterns: dict[int, dict[tuple[int, ...], dict[tuple[str, ...], Mapping[str, Rule]]]] = {}
        for path, methods in rules.items():
            if path not in self._plain:
                words = {i: part for i, part in enumerate(path.split("/")) if not part.startswith("{")}
                alike = self._patterns.setdefault(path.count("/") + 1, {}).setdefault(tuple(words), {})
                alike[tuple(words.values())] = methods

    def find(self, path: str) -> Mapping[str, Rule] | None:
        """The rules of a path by method; None where there is no such path."""
        if path in self._plain:
            return self._plain[path]
        asked = path.split("/")
        for places, rules in self._patterns.get(len(asked), {}).items():
            methods = rules.get(tuple([asked[i] for i in places]))
            if methods is not None and "" not in asked[1:]:
                return methods
        return None


def describe(app: FastAPI, rules: Mapping[str, Mapping[str, Rule]] = RULES) -> None:
    """Say in the app's OpenAPI document which routes need a key, and with which right."""
    document: dict[str, Any] = app.openapi()
    document.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, or the issuer's token"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            right = rules[path][method.upper()].right
            if right:
                operation["security"] = [{"bearer": []}, {"key": []}]
                operation["x-right"] = right
                for status, said in (("401", "Who calls?"), ("403", f"Needs {right}"), ("429", "Too many")):
                    operation["responses"].setdefault(status, {"description": said})
