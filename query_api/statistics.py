"""Statistics: images and circles counted by time, source, project or model; histograms; latencies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, model_validator

from query_api.access.caller import calling
from query_api.answers import JSON, as_file, fields_of, json, read_from, wanted
from query_api.errors import Problem
from query_api.filters import Uploads
from query_api.parameters import only_known
from query_api.versions import ALL
from query_api.view.questions import Question
from query_api.view.reading import View

MOST_ROWS = 10_000
BY = {"source": ("source_id",), "project": ("project_id",), "model": ("model_name", "model_version")}
By = Literal["source", "project", "model"]


class Grouped(Uploads):
    """What every statistic may be asked for, and what it is grouped by. All filters have to hold."""

    by: By | None = Field(None, description="a row for each; model: name and version of the served detection")

    @model_validator(mode="after")
    def _each_version_alone(self) -> Self:
        if self.model == ALL and self.by != "model":
            raise ValueError("model=all counts each version on its own: say by=model, too")
        return self

    def asked(self, query: str, bucket: str | None = None, **parts: str) -> Question:
        by = BY[self.by] if self.by else ()
        return self.question(query, bucket=bucket, by=by, order="", count=MOST_ROWS + 1, parts=parts)


class OverTime(Grouped):
    """The parameters of statistics over time."""

    bucket: Literal["minute", "hour", "day", "week", "month"] | None = Field(
        None, description="a row for each of the time of upload, in UTC"
    )

    def over_time(self, query: str) -> Question:
        """The question, a row a bucket where there are any."""
        return self.asked(query, self.bucket)


class Radii(Grouped):
    """The parameters of the histogram of radii."""

    width: float = Field(5, gt=0, le=1e6, description="of a bin, in pixels")


class Scores(Grouped):
    """The parameters of the histogram of scores."""

    width: float = Field(0.05, gt=0, le=1, description="of a bin")


def routes(view: View, moment: Callable[..., Any]) -> APIRouter:
    """The router over its parts. moment: the dependency that gives the snapshot to read, None for now."""
    router = APIRouter(tags=["statistics"], dependencies=[Depends(only_known)])

    @router.get("/statistics/images")
    async def images(
        request: Request, asked: Annotated[OverTime, Query()], at: int | None = Depends(moment)
    ) -> Response:
        """Images by what became of them, and circles of their served detections: `?bucket=hour&by=source`."""
        return await rows(request, asked.over_time("statistics_images"), at)

    @router.get("/statistics/latency")
    async def latency(
        request: Request, asked: Annotated[OverTime, Query()], at: int | None = Depends(moment)
    ) -> Response:
        """Percentiles of what the model took, and of the time from upload to detection, in milliseconds.

        Of images whose served detection no replay made.
        """
        return await rows(request, asked.over_time("statistics_latency"), at)

    @router.get("/statistics/radius")
    async def radius(
        request: Request, asked: Annotated[Radii, Query()], at: int | None = Depends(moment)
    ) -> Response:
        """How many circles of the served detections have a radius from `from_value` to below `to_value`."""
        return await rows(request, histogram(asked, "radius", asked.width), at)

    @router.get("/statistics/score")
    async def score(
        request: Request, asked: Annotated[Scores, Query()], at: int | None = Depends(moment)
    ) -> Response:
        """How many circles of the served detections have a score from `from_value` to below `to_value`."""
        return await rows(request, histogram(asked, "score", asked.width), at)

    async def rows(request: Request, question: Question, at: int | None) -> Response:
        kind, caller = wanted(request.headers.get("accept")), calling(request)
        headers = read_from(seen := view.seen, caller, at) | {"Vary": "Accept"}
        question = question.within(caller.project)
        if kind != JSON:
            table = await view.table(question, at)
            few(table.num_rows)
            return as_file(table, table.column_names, kind, headers)
        found = await view.rows(question, at)
        few(len(found))
        return json({"rows": found, "count": len(found), **fields_of(seen, caller, at)}, 200, headers)

    return router


def few(rows: int) -> None:
    """Raises Problem 422 for more rows than an answer may have."""
    if rows > MOST_ROWS:
        raise Problem(422, f"more than {MOST_ROWS:,} rows: ask for less time, or for wider buckets")


def histogram(asked: Grouped, value: str, width: float) -> Question:
    """The question for circles by a column, in bins of some width."""
    question = asked.asked("statistics_histogram", value=value)
    return replace(question, values={**question.values, "width": width})
