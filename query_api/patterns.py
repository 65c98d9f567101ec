"""What some texts look like, for the OpenAPI document: patterns in what all dialects of JSON Schema know."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BLANK = r"[ \t\n\r]*"
_HEX = "[0-9a-fA-F]"
_ESCAPED = (
    rf'\\(?:["\\/bfnrt]|u(?:[0-9a-ce-fA-CE-F]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}'
    rf"|[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}))"
)
"""Half of a surrogate pair is no text."""
_STRING = rf'"(?:[^"\\\x00-\x1f]|{_ESCAPED})*"'
_MEMBER = rf"{_STRING}{_BLANK}:{_BLANK}{_STRING}{_BLANK}"

JSON_OF_STRINGS = rf"^{_BLANK}\{{{_BLANK}(?:{_MEMBER}(?:,{_BLANK}{_MEMBER})*)?\}}{_BLANK}$"
"""A JSON object whose values are strings."""
JSON_OR_NOTHING = f"^(?:{JSON_OF_STRINGS[1:-1]})?$"
"""Of a form, which sends a field that was left empty as well."""
BOX = "^" + ",".join([r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?"] * 4) + "$"
"""Four decimal numbers; which of them has to be the smaller, no pattern says."""
NO_NUL = r"^[^\x00]*$"
VERSION = r"^[^\x00:]+:[^\x00]+$"
"""Of a model, NAME:VERSION."""
ASKED = r"^[^\x00:]+(?::[^\x00:]+)?$"
"""Of a model, NAME or NAME:VERSION, or one of the words that mean some."""
PROJECT = r"^(?:[A-Za-z0-9][A-Za-z0-9._\-]{0,63})?$"
"""A project's name, or nothing."""
OPAQUE = r"^[A-Za-z0-9_.=\-]*$"
"""What this API gave: a cursor, the id of an event."""
OPAQUES = r"^[A-Za-z0-9_.=\-]*(?:, ?[A-Za-z0-9_.=\-]+)*$"
MOMENT = r"^[A-Za-z0-9_.:+\-]*$"
"""A snapshot, or a time in any of the ways of ISO 8601."""


def names(known: Iterable[str]) -> str:
    """Some of the names that there are, with commas; or nothing."""
    one = f" *(?:{'|'.join(map(re.escape, known))}) *"
    return f"^(?:{one}(?:,{one})*)?$"
