"""What clients asked and were answered, each with its begin and its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

Kind = Literal["image", "list", "objects"]


class Row(NamedTuple):
    """Of an answer. status: pending, detected or failed; of a circle it is detected."""

    image_id: str
    uploaded_at: datetime
    source: str
    status: str


@dataclass(frozen=True, slots=True)
class Upload:
    """image_id, position: empty where no answer came that says so. circles: how many its answer had."""

    begin: datetime
    end: datetime
    source: str
    answer: int
    image_id: str = ""
    position: str = ""
    circles: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """A read with a position. answer: the HTTP status, 0 where the connection failed. lag: of a 504.

    image_id: which one was asked for; source: the filter; limit: the most rows of a list.
    """

    begin: datetime
    end: datetime
    kind: Kind
    after: str
    answer: int
    image_id: str = ""
    source: str | None = None
    limit: int = 500
    rows: tuple[Row, ...] = ()
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """A list from page to page until its end, each with the same position, source and beginning of time.

    tries: the answers of all its requests, more than pages where one had to be asked again.
    """

    begin: datetime
    end: datetime
    after: str
    oldest_first: bool
    pages: tuple[tuple[Row, ...], ...]
    source: str | None = None
    since: datetime | None = None
    tries: tuple[int, ...] = ()


@dataclass
class History:
    """All of a run, in the order of the ends."""

    uploads: list[Upload] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    killed: list[datetime] = field(default_factory=list)
