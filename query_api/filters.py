"""What lists may be asked for: parameters, and the question to the view that they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator

from query_api import patterns
from query_api.columns import CIRCLE_FIELDS, IMAGE_FIELDS
from query_api.sorting import CIRCLES, IMAGES, Cursors, Order
from query_api.versions import MEANING, Which, which
from query_api.view.questions import Question


def in_utc(moment: datetime) -> datetime:
    """A time without a zone is UTC. Raises ValueError for one that UTC cannot say."""
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is beyond the years 1 to 9999 in UTC") from error


_LOST_PLUS = re.compile(r"(\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (?=\d\d:?\d\d$)", re.ASCII)


def with_plus(text: str) -> str:
    """A time of a URL with the plus before its zone, which became a blank if it was not written as %2B."""
    return _LOST_PLUS.sub(r"\1+", text)


def no_number(given: object) -> object:
    """Raises ValueError: 2026 would be taken for seconds since 1970."""
    try:
        float(str(given))
    except ValueError:
        return given
    raise ValueError("is a time like 2026-01-31T12:00:00Z or a day like 2026-01-31")


def without_nul(text: str) -> str:
    """Raises ValueError: PostgreSQL, which is asked which files may have a text, takes no NUL."""
    if "\0" in text:
        raise ValueError("has a NUL, which no query can ask for")
    return text


def json_of_strings(text: str) -> str:
    """JSON of an object of strings, written shortly. Raises ValueError."""
    try:
        found = orjson.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError('is a JSON object of strings like {"lane": "3"}')
    return without_nul(orjson.dumps(found).decode())


def corners(text: str) -> str:
    """Raises ValueError for what is no box."""
    if re.fullmatch(patterns.BOX, text):
        x_min, y_min, x_max, y_max = numbers(text)
        if x_min <= x_max and y_min <= y_max:
            return text
    raise ValueError("is x_min,y_min,x_max,y_max in pixels, like 0,0,320.5,240")


def numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _like(pattern: str) -> dict[str, Any]:
    """Says it in the document alone: what is wrong is said better by the validator beside it."""
    return {"pattern": pattern}


A_MOMENT = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}
Moment = Annotated[
    datetime,
    BeforeValidator(lambda given: with_plus(given) if isinstance(given, str) else given),
    BeforeValidator(no_number),
    AfterValidator(in_utc),
    WithJsonSchema(A_MOMENT),
]
Text = Annotated[
    str, Field(max_length=200, json_schema_extra=_like(patterns.NO_NUL)), AfterValidator(without_nul)
]
ModelName = Annotated[
    str, Field(max_length=200, json_schema_extra=_like(patterns.ASKED)), AfterValidator(without_nul)
]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Pixels = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Attributes = Annotated[
    str,
    Field(max_length=2000, json_schema_extra=_like(patterns.JSON_OF_STRINGS)),
    AfterValidator(json_of_strings),
]
Box = Annotated[str, Field(max_length=100, json_schema_extra=_like(patterns.BOX)), AfterValidator(corners)]


class Uploads(BaseModel):
    """What any list or statistic may be asked for. All that are given have to hold."""

    source: Text | None = Field(None, description="camera or service; empty: images that named none")
    project: Text | None = Field(None, description="project")
    since: Moment | None = Field(None, description="uploaded then or later, ISO 8601")
    until: Moment | None = Field(None, description="uploaded before")
    model: ModelName | None = Field(None, description=MEANING, examples=["circles:2"])
    version: Text | None = Field(None, description="of `model`, where that names none")

    OWN: ClassVar[tuple[str, ...]] = ("source", "project", "since", "until", "attributes")
    MODEL: ClassVar[tuple[str, ...]] = ("model", "version")
    OUTCOME: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _of_detections(self) -> Self:
        which(self.model, self.version)
        return self

    @property
    def which(self) -> Which:
        """Which detections are asked for."""
        return which(self.model, self.version)

    def question(self, query: str, **more: Any) -> Question:
        """The question to the view that has the conditions of what is asked for."""
        asked = self.which
        given = {**self.model_dump(exclude_none=True, exclude={*self.MODEL}), **asked.named}

        def of(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in names if name in given)

        known = {name: given[name] for name in of((*self.OWN, *self.MODEL, *self.OUTCOME))}
        return Question(
            query, of(self.OWN), of(self.OUTCOME), of(self.MODEL), known, since=given.get("since"),
            every=asked.every, **more,
        )  # fmt: skip


class _List(Uploads):
    limit: int = Field(50, ge=1, le=500, description="most rows in the answer")
    cursor: str = Field(
        "",
        max_length=1000,
        description="`next` of the page before, in the same `sort`; filters may be the same or others",
        json_schema_extra=_like(patterns.OPAQUE),
    )
    attributes: Attributes | None = Field(
        None,
        description="a JSON object that the attributes of the upload contain",
        examples=['{"lane": "3"}'],
    )

    def page(self, query: str, order: Order, cursors: Cursors, scope: str) -> Question:
        """The question for one row more than the page has. Raises Problem 400."""
        asked = self.question(query, order=order.sql, count=self.limit + 1)
        own, outcome, values = asked.own, asked.outcome, dict(asked.values)
        if order.only:
            outcome += (order.only,)
        if self.cursor:
            values |= cursors.read(self.cursor, order, scope)
            if order.own:
                own += (order.behind,)
            else:
                outcome += (order.behind,)
            if asked.newest_first:
                own += ("not_after",)
        return replace(asked, own=own, outcome=outcome, values=values)


def _fields(known: Iterable[str]) -> Any:
    return Field(
        "",
        max_length=500,
        description="names of fields with commas, where not all are wanted",
        json_schema_extra=_like(patterns.names(known)),
    )


class Images(_List):
    """The parameters of `GET /images`. All that are given have to hold."""

    fields: str = _fields(IMAGE_FIELDS)
    include: Literal["", "objects"] = Field("", description="objects: each image's circles")
    sort: Literal["newest", "oldest", "most-circles", "fewest-circles"] = Field(
        "newest", description="by upload; or by circles, of detected images alone"
    )
    status: Literal["pending", "detected", "failed"] | None = Field(None, description="how far the image is")
    min_circles: Count | None = Field(None, description="leaves out images without a detection")
    max_circles: Count | None = Field(None, description="leaves out images without a detection")

    OUTCOME: ClassVar[tuple[str, ...]] = ("min_circles", "max_circles")

    def asked(self, cursors: Cursors, scope: str) -> Question:
        """The question for one image more than the page has. Raises Problem 400."""
        page = self.page("images", IMAGES[self.sort], cursors, scope)
        status = (self.status,) if self.status else ("detected",) if self.which.model is not None else ()
        # Of every version they are the served ones, each with what all found.
        return replace(page, outcome=(*page.outcome, *status), every=False)


class Circles(_List):
    """The parameters of `GET /objects`. All that are given have to hold."""

    fields: str = _fields(CIRCLE_FIELDS)
    sort: Literal["newest", "largest", "smallest", "best", "worst"] = Field(
        "newest", description="by upload, radius or score"
    )
    min_radius: Pixels | None = Field(None, description="pixels")
    max_radius: Pixels | None = Field(None, description="pixels")
    min_score: Share | None = Field(None, description="0 to 1")
    max_score: Share | None = Field(None, description="0 to 1")
    box: Box | None = Field(
        None, description="x_min,y_min,x_max,y_max in pixels: the centre is inside", examples=["0,0,320,240"]
    )

    OUTCOME: ClassVar[tuple[str, ...]] = ("min_radius", "max_radius", "min_score", "max_score", "box")

    def asked(self, cursors: Cursors, scope: str) -> Question:
        """The question for one circle more than the page has. Raises Problem 400."""
        page = self.page("circles", CIRCLES[self.sort], cursors, scope)
        return replace(page, values={**page.values, "box": numbers(self.box)}) if self.box else page
