"""The relations that queries read, made of the lake's tables."""

from __future__ import annotations

import re

from streams.statements import read_statements

_LAKE = read_statements("query_api", "view/relations.sql")["lake"]
_TABLE = re.compile(r"\blake\.(images|detections|objects|failures|retries|promotions)\b")


SERVED = "(replay_id IS NULL OR place IS NOT NULL)"
"""The detections that count where no model is asked for."""


def of_lake(
    own: str = "true",
    most: str = "",
    model: str = SERVED,
    snapshot: int | None = None,
    *,
    every: bool = False,
) -> str:
    """Common table expressions `images` and `circles`, to be put before a query.

    own: a condition on columns of `lake.images`; most: an ORDER BY and a LIMIT of them; model: a
    condition on the detections that count; every: each that counts is one, with a row of `images` of its own;
    snapshot: as of which the lake is read.
    """
    relations = _LAKE.replace("{own}", own).replace("{most}", most).replace("{model}", model)
    relations = relations.replace("{of_each}", "image_id, model_name, model_version" if every else "image_id")
    if snapshot is None:
        return relations
    # In parentheses, as an alias would have to stand between the table and its version.
    return _TABLE.sub(rf"(FROM \g<0> AT (VERSION => {snapshot:d}))", relations)
