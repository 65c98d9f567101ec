"""What answers look like, for the OpenAPI document alone: answers are written as bytes, without these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Numbers2 = Annotated[list[float], Field(min_length=2, max_length=2)]
Numbers4 = Annotated[list[float], Field(min_length=4, max_length=4)]


class Answer(BaseModel):
    """Has what it says, and nothing more."""

    model_config = ConfigDict(extra="forbid")


def _any_part(schema: dict[str, Any]) -> None:
    """Lists may be asked for some fields alone."""
    schema.pop("required", None)


class Problem(BaseModel):
    """RFC 9457. Some problems have further members, like the `lag` of a 504."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    instance: str


class Found(Answer):
    object_id: UUID
    bbox: Numbers4
    centroid: Numbers2
    radius: float
    score: float


class NamedFound(Found):
    """By which version, where others than the served one are asked for."""

    model_name: str = ""
    model_version: str = ""


class Detection(Answer):
    model_name: str
    model_version: str
    count: int
    latency_ms: float
    detected_at: datetime


class Failure(Answer):
    dead_letter_id: UUID
    stage: str
    error: str
    reason: str


class Facts(Answer):
    image_id: UUID
    project_id: str
    source_id: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    captured_at: datetime | None
    uploaded_at: datetime
    attributes: dict[str, str]
    status: Literal["pending", "detected", "failed"]
    detection: Detection | None
    failure: Failure | None


class Image(Facts):
    objects: list[NamedFound]
    detections: list[Detection] = []


class Accepted(Answer):
    """An image that is not in the view yet."""

    image_id: UUID
    status: Literal["pending"]
    objects: list[Found]


class ListedImage(Facts):
    model_config = ConfigDict(json_schema_extra=_any_part)
    objects: list[NamedFound] | None = None
    detections: list[Detection] | None = None


class ListedCircle(Answer):
    model_config = ConfigDict(json_schema_extra=_any_part)
    image_id: UUID
    object_id: UUID
    radius: float
    score: float
    bbox: Numbers4
    centroid: Numbers2
    model_name: str
    model_version: str
    uploaded_at: datetime
    project_id: str
    source_id: str


class Page(Answer):
    count: int
    next: str | None
    snapshot: str | None
    watermark: str | None
    age_s: float | None


class Images(Page):
    images: list[ListedImage]


class Circles(Page):
    objects: list[ListedCircle]


class Statistics(Answer):
    """Rows by what was asked for: `bucket` and `by` add columns."""

    rows: list[dict[str, Any]]
    count: int
    snapshot: str | None
    watermark: str | None
    age_s: float | None


class Box(Answer):
    """By which version, where others than the served one are asked for."""

    object_id: UUID
    bbox: Numbers4
    model_name: str = ""
    model_version: str = ""


class ObjectsOfImage(Answer):
    image_id: UUID
    count: int
    objects: list[Box]
    detections: list[Detection] = []


class Circle(Answer):
    object_id: UUID
    bbox: Numbers4
    centroid: Numbers2
    radius: float


class BatchImage(Answer):
    image_id: UUID
    status: Literal["pending", "detected", "failed"]
    count: int
    objects: list[NamedFound]
    detections: list[Detection] = []


class Batch(Answer):
    images: list[BatchImage]
    count: int
    missing: list[UUID]


class Point(Answer):
    x: float
    y: float


class UploadedCircle(Answer):
    object_id: UUID
    bbox: Numbers4
    centroid: Point
    radius: float


class UploadedDetection(Answer):
    detections: list[UploadedCircle]
    count: int


class Uploaded(Answer):
    image_id: UUID
    detection: UploadedDetection | None


class Recorded(Answer):
    """An annotation that is on the log."""

    annotation_id: UUID
    image_id: UUID
    annotated_at: datetime
    count: int


class Annotation(Answer):
    annotation_id: UUID
    annotator: str
    annotated_at: datetime
    from_: str | None = Field(alias="from")
    drawn_as: Literal["circles", "boxes"]
    count: int
    circles: list[Circle]


class Annotations(Answer):
    image_id: UUID
    annotation: Annotation | None
    versions: list[Annotation] = []


class Said(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(extra="allow")
