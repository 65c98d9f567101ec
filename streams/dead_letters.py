"""Dead letters: what no stage could turn into a result, listed from the view and put back on the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from streams import lake
from streams.produce import Outgoing, emit, put
from streams.records import DeadLetterRetried
from streams.rows import Headers, unpack_headers
from streams.settings import Settings

MOST = 1000
"""Dead letters looked at in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A row of the view's `failures`, with whether its message was put back on the log."""

    dead_letter_id: UUID
    image_id: UUID | None
    stage: str
    error: str
    reason: str
    source_topic: str
    source_partition: int
    source_offset: int
    message_key: bytes | None
    message_value: bytes | None
    headers: Headers
    failed_at: datetime
    retried: bool


def find(
    settings: Settings, ids: Sequence[str] = (), *, retried: bool = False, count: int = MOST
) -> list[DeadLetter]:
    """Dead letters, newest first; those whose id begins with one of `ids`, or all.

    Those that were retried are left out unless `retried` or named. Raises duckdb.Error.
    """
    with lake.connect(settings, read_only=True) as view:
        result = view.execute(
            lake.STATEMENTS["dead_letters"],
            {"ids": list(ids), "retried": retried or bool(ids), "count": count},
        )
        names = [column[0] for column in result.description]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return [DeadLetter(**row | {"headers": unpack_headers(row["headers"])}) for row in rows]


def retry(settings: Settings, letters: Sequence[DeadLetter]) -> None:
    """Put the original messages back on their topics, then record that.

    Raises ValueError when a letter holds no message to put back.
    In this order, so that a crash between the two repeats a message, which changes nothing, and never
    loses one. Raises LogUnavailable.
    """
    for letter in letters:
        if not letter.message_value:
            raise ValueError(f"dead letter {letter.dead_letter_id} holds no message: {letter.reason}")
    originals = [
        Outgoing(letter.source_topic, letter.message_key, letter.message_value, list(letter.headers))
        for letter in letters
    ]
    put(settings, originals)
    now = datetime.now(UTC)
    emit(
        settings,
        [
            DeadLetterRetried(dead_letter_id=letter.dead_letter_id, image_id=letter.image_id, retried_at=now)
            for letter in letters
        ],
    )
