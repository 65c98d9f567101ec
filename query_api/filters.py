"""What a list of images may be asked for: parameters, and the conditions of `queries.sql` that they mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator


def in_utc(moment: datetime) -> datetime:
    """A time without a zone is UTC. Raises ValueError for one that UTC cannot say."""
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is beyond the years 1 to 9999 in UTC") from error


def without_nul(text: str) -> str:
    """Raises ValueError: PostgreSQL, which is asked which files may have a text, takes no NUL."""
    if "\0" in text:
        raise ValueError("has a NUL, which no query can ask for")
    return text


Moment = Annotated[datetime, AfterValidator(in_utc)]
Text = Annotated[str, Field(max_length=200), AfterValidator(without_nul)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Listing(BaseModel):
    """The parameters of `GET /images`. All that are given have to hold."""

    limit: int = Field(50, ge=1, le=500, description="most images in the answer")
    cursor: str = Field("", description="`next` of the page before; filters may be the same or others")
    include: Literal["", "objects"] = Field("", description="objects: each image's circles")
    source: Text | None = Field(None, description="camera or service; empty: images that named none")
    since: Moment | None = Field(None, description="uploaded then or later, ISO 8601")
    until: Moment | None = Field(None, description="uploaded before")
    status: Literal["pending", "detected", "failed"] | None = Field(None, description="how far the image is")
    min_circles: Count | None = Field(None, description="of the newest detection; leaves out what has none")
    max_circles: Count | None = Field(None, description="of the newest detection; leaves out what has none")
    model: Text | None = Field(None, description="images that this model has looked at")
    version: Text | None = Field(None, description="images that this version of `model` has looked at")

    @model_validator(mode="after")
    def _version_of_a_model(self) -> Self:
        if self.version is not None and self.model is None:
            raise ValueError("version is of a model: name that, too, like model=circles&version=2")
        return self

    def conditions(self) -> tuple[list[str], dict[str, Any]]:
        """The names of the conditions in `queries.sql` that have to hold, and the values that they name."""
        values = self.model_dump(exclude={"limit", "cursor", "include", "status"}, exclude_none=True)
        return [f"images_{name}" for name in (*values, self.status) if name], values
