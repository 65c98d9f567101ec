"""The first wall: DuckDB's own parser reads a query, and every part of its tree has to be one that is known.

What is allowed is listed, so what nobody thought of, or another DuckDB adds, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import duckdb

RELATIONS = ("images", "circles")
FUNCTIONS = frozenset(
    name
    for line in files("query_api").joinpath("sql/functions.txt").read_text().splitlines()
    if not line.startswith("#")
    for name in line.split()
)
TABLE_FUNCTIONS = frozenset(("generate_series", "json_each", "json_tree", "range", "unnest"))
TABLES = frozenset(
    ("BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SHOW_REF", "SUBQUERY", "TABLE_FUNCTION")
)
"""What may stand behind FROM; of SHOW_REF only DESCRIBE and SUMMARIZE of a query."""
EXPRESSIONS = frozenset(
    (
        "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT",
        "FUNCTION", "LAMBDA", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE",
        "WINDOW",
    )
)  # fmt: skip
OTHERS = frozenset(
    (
        "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "DISTINCT_MODIFIER", "LIMIT_MODIFIER",
        "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER", "ASCENDING", "DESCENDING", "ORDER_DEFAULT",
        "ARRAY_TYPE_INFO", "DECIMAL_TYPE_INFO", "LIST_TYPE_INFO", "STRING_TYPE_INFO", "STRUCT_TYPE_INFO",
        "UNBOUND_TYPE_INFO",
    )
)  # fmt: skip
"""Of parts that are neither: queries, what is put to their answers, and types."""
STANDING = "SELECT lower(view_name) FROM duckdb_views() WHERE internal"
"""What a name without a schema could mean, too."""
MOST_DEPTH = 200
"""Of expressions within another: DuckDB plans deeper ones, by recursion."""
_NAME = re.compile(r"\w{1,64}")


class Refused(Exception):
    """The query may not be asked; the message says why, and what may be."""


def check(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raises Refused unless the query is one SELECT of what is listed, duckdb.Error where it is no SQL."""
    if "\0" in query:
        raise Refused("a query has no NUL")
    said = connection.execute("SELECT json_serialize_sql($query::VARCHAR)", {"query": query}).fetchall()[0][0]
    try:
        read = json.loads(said)
    except RecursionError:
        raise Refused(TOO_DEEP) from None
    if read["error"]:
        if read["error_type"] == "not implemented":
            raise Refused(f"only one SELECT can be asked: {read['error_message']}")
        if "depth limit" in read["error_message"] or "memory exhausted" in read["error_message"]:
            raise Refused(TOO_DEEP)
        raise duckdb.ParserException(f"Parser Error: {read['error_message']}")
    if len(read["statements"]) != 1:
        raise Refused(f"only one SELECT can be asked, not {len(read['statements'])} statements")
    own = set(_own_names(read))
    # Outside of its WITH such a name would mean a view of DuckDB's or, with a dot, a file.
    taken = {name for (name,) in connection.execute(STANDING).fetchall()}
    if wrong := [name for name in own if name in taken or not _NAME.fullmatch(name)]:
        raise Refused(f"WITH {min(wrong)!r}: call it otherwise, by letters, digits and _")
    for part in _parts(read["statements"]):
        _look_at(part, own)


TOO_DEEP = f"the query is nested too deeply: {MOST_DEPTH} expressions within one another are the most"


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a tree, without recursion."""
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left += part.values()
        elif isinstance(part, list):
            left += part


def _own_names(tree: Any) -> Iterator[str]:
    """The names that its WITHs give."""
    for part in _parts(tree):
        if "cte_map" in part:
            yield from (each["key"].lower() for each in part["cte_map"]["map"])


def _look_at(part: dict[str, Any], own: set[str]) -> None:
    kind = part.get("type")
    if "class" in part:
        if part["class"] not in EXPRESSIONS:
            raise Refused(f"{part['class']} {kind} cannot be asked")
    elif isinstance(kind, str) and kind not in TABLES | OTHERS:
        raise Refused(f"{kind} cannot be asked")
    if "function_name" in part and part["function_name"].lower() not in FUNCTIONS | TABLE_FUNCTIONS:
        raise Refused(f"function {part['function_name']!r} cannot be called here")
    if "table_name" in part and kind != "SHOW_REF":
        _look_at_table(part, own)
    if kind == "TABLE_FUNCTION" and part["function"]["function_name"].lower() not in TABLE_FUNCTIONS:
        called = part["function"]["function_name"]
        raise Refused(
            f"{called!r} cannot be read from; functions that can: {', '.join(sorted(TABLE_FUNCTIONS))}"
        )
    if kind == "SHOW_REF" and (not part["query"] or part["table_name"] or part["schema_name"]):
        raise Refused("SHOW cannot be asked; DESCRIBE images can")
    if part.get("pivot_enum"):
        raise Refused("PIVOT by a type of ENUM cannot be asked; IN ('a', 'b') can")
    if kind == "UNBOUND_TYPE_INFO" and (part["catalog"] or part["schema"]):
        raise Refused(f"type {part['name']!r} is named without a schema")


def _look_at_table(part: dict[str, Any], own: set[str]) -> None:
    parts = (part["catalog_name"], part["schema_name"], part["table_name"])
    name = ".".join(filter(None, parts))
    if part["catalog_name"] or part["schema_name"] or name.lower() not in {*RELATIONS, *own}:
        raise Refused(f"table {name!r} is not one of {', '.join(RELATIONS)}")
    if part["at_clause"]:
        raise Refused(f"AT: {name} is read as it is now")
