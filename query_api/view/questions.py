"""What the view is asked: a named query, the conditions that have to hold, and the order of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from query_api.view.relations import SERVED, of_lake
from streams.statements import read_statements

QUERIES = read_statements("query_api", "view/queries.sql")
NEWEST_FIRST = "uploaded_at DESC, image_id DESC"
OF_A_CIRCLE = {"image", "among", "scope", "project", "source", "since", "until", "not_after", "since_floor"}
"""Conditions on what was uploaded that a row of `circles` can be asked for itself."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query of queries.sql with its parameters.

    own: conditions of queries.sql on what was uploaded; outcome: on what became of it; model: on which of an
    image's detections count, instead of the served one; every: all do, and an image has a row for each.
    order: an ORDER BY; count: most rows, None for all. since: no image uploaded before can be part of the
    answer. parts: further text of the query by the name that it has there in braces. bucket, by: a unit of
    time and columns; what is counted has a row for each of them. Of all this but `values` nothing comes from
    outside.
    """

    query: str
    own: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    order: str = NEWEST_FIRST
    count: int | None = None
    since: datetime | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    every: bool = False
    bucket: str | None = None
    by: tuple[str, ...] = ()

    def within(self, project: str | None) -> Question:
        """The same of a project's images alone; None: of all."""
        if project is None:
            return self
        return replace(self, own=(*self.own, "scope"), values={**self.values, "scope": project})

    @property
    def of_others(self) -> bool:
        """Whether detections count that are not the served ones."""
        return bool(self.model) or self.every

    @property
    def newest_first(self) -> bool:
        """Whether the newest images alone can answer it, once there are enough of them."""
        return self.count is not None and self.order.startswith(NEWEST_FIRST)

    def is_answered(self, size: int, since: datetime | None) -> bool:
        """Whether so many rows, of images uploaded since a time, lack nothing that is older; None: of all."""
        reaches = since is None or (self.since is not None and self.since >= since)
        return reaches or (self.newest_first and size >= (self.count or 0))

    @property
    def before(self) -> datetime | None:
        """Of one that is newest first: no image uploaded later is part of the answer; None: any may be."""
        return min((self.values[name] for name in ("until", "k0") if name in self.values), default=None)

    def of_window(self) -> str:
        """Its text where `images` and `circles` are tables."""
        own = ["since_floor", *self.own]
        if self.query == "circles":
            of_image = [name for name in own if name not in OF_A_CIRCLE]
            met = _all(name for name in own if name in OF_A_CIRCLE)
            if of_image:
                met += f" AND image_id IN (SELECT image_id FROM images WHERE {_all(of_image)})"  # noqa: S608
        else:
            met = _all(own)
        return self._text(f"{met} AND {_all((*self.outcome, *self.model))}")

    def of_lake(self, candidates: int | None, snapshot: int | None) -> str:
        """Its text over the lake, as of a snapshot, made of at most so many images that may answer it."""
        most = f"ORDER BY {NEWEST_FIRST} LIMIT {candidates:d}" if candidates else ""
        model = _all(self.model) if self.of_others else SERVED
        relations = of_lake(_all(self.own), most, model, snapshot, every=self.every)
        return f"{relations} {self._text(_all((*self.outcome, *self.model)))}"

    def _text(self, conditions: str) -> str:
        text = QUERIES[self.query].rstrip().rstrip(";")
        bucket = f"date_trunc('{self.bucket}', make_timestamp(epoch_us(uploaded_at))) AS bucket"
        groups = "".join(f"{group}, " for group in (*([bucket] if self.bucket else []), *self.by))
        in_utc = "REPLACE (bucket AT TIME ZONE 'UTC' AS bucket)" if self.bucket else ""
        of_all = {"conditions": conditions, "order": self.order, "groups": groups, "in_utc": in_utc}
        for name, part in {**of_all, **self.parts}.items():
            text = text.replace(f"{{{name}}}", part)
        return text if self.count is None else f"{text} LIMIT {self.count:d}"


def _all(names: Iterable[str]) -> str:
    return " AND ".join(f"({QUERIES[name].split(chr(10) * 2)[0].strip()})" for name in names) or "true"
