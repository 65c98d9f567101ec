"""The checker: what in a history no system that keeps its word can have answered. It asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from tests.histories.history import History, Read, Row, Upload, Walk

ALLOWED = {0, 503, 504}
"""Beside answers: the process was killed, what it needs is away, the view is not there in time."""


class Violation(NamedTuple):
    kind: str
    what: str


def violations(history: History) -> list[Violation]:
    """All of them, none for a history that is as it should be."""
    return list(
        chain(
            _unexpected(history),
            _invented(history),
            *(_missed(read, history.uploads) for read in history.reads if read.answer == 200),
            *(_of_walk(walk, history.uploads) for walk in history.walks),
        )
    )


def places(position: str) -> dict[int, int]:
    """The furthest offset by partition of a position; what else it holds is not ours to read."""
    found: dict[int, int] = {}
    for part in position.split(","):
        partition, _, offset = part.partition("-")
        if partition.isdigit() and offset.isdigit():
            found[int(partition)] = max(int(offset), found.get(int(partition), -1))
    return found


def covered(after: str, uploads: Iterable[Upload]) -> Iterator[Upload]:
    """The acknowledged uploads that a position is at or behind."""
    reached = places(after)
    for upload in uploads:
        mine = places(upload.position)
        if mine and all(reached.get(partition, -1) >= offset for partition, offset in mine.items()):
            yield upload


def _unexpected(history: History) -> Iterator[Violation]:
    for upload in history.uploads:
        if upload.answer not in {201, 202} | ALLOWED:
            yield Violation("unexpected", f"{upload.answer} to {upload}")
        elif upload.answer in (201, 202) and not (upload.image_id and places(upload.position)):
            yield Violation("unexpected", f"an upload without id or position: {upload}")
    for read in history.reads:
        gone = read.kind == "image" and read.answer == 404  # which is judged as a row that is missing
        if read.answer not in {200} | ALLOWED and not gone:
            yield Violation("unexpected", f"{read.answer} to {read}")
        if read.answer == 504 and not read.lag:
            yield Violation("unexpected", f"504 without a lag: {read}")
        if gone:
            yield from _missed(read, history.uploads)
    for walk in history.walks:
        for answer in set(walk.tries) - {200} - ALLOWED:
            yield Violation("unexpected", f"{answer} on the walk of {walk.begin}")


def _invented(history: History) -> Iterator[Violation]:
    """More images than could come of uploads whose answer was lost."""
    known = {upload.image_id for upload in history.uploads}
    unsure = sum(not upload.image_id for upload in history.uploads)
    pages = chain.from_iterable(walk.pages for walk in history.walks)
    rows = chain(*(read.rows for read in history.reads), *pages)
    strange = {row.image_id for row in rows} - known
    if len(strange) > unsure:
        yield Violation("invented", f"{len(strange)} images, {unsure} uploads without an answer")


def _missed(read: Read, uploads: Sequence[Upload]) -> Iterator[Violation]:
    """What was acknowledged before the position, and is not in the answer, or not as it was said."""
    there = {row.image_id: row for row in read.rows}
    yield from _foreign(read.rows, read.source)
    if len(there) < len(read.rows):
        yield Violation("repeated", f"an image twice in {read}")
    own = set(read.after.split(","))
    for upload in covered(read.after, uploads):
        told = upload.circles > 0 and set(upload.position.split(",")) <= own
        if (
            (read.source is not None and upload.source != read.source)
            or (read.kind == "image" and upload.image_id != read.image_id)
            or (read.kind == "objects" and not told)
            or _beyond(upload, read)
        ):
            continue
        if upload.image_id not in there:
            yield Violation("missed", f"{upload} in {read.kind} of {read.begin} after {read.after}")
        elif told and there[upload.image_id].status == "pending":
            yield Violation(
                "went back", f"{upload} had circles and is pending in {read.kind} of {read.begin}"
            )


def _beyond(upload: Upload, read: Read) -> bool:
    """Whether it may be on a later page: this one is full of what is at least as new."""
    full = read.kind != "image" and len(read.rows) >= read.limit
    return full and read.rows[-1].uploaded_at >= upload.begin


def _foreign(rows: Iterable[Row], source: str | None) -> Iterator[Violation]:
    for row in rows:
        if source is not None and row.source != source:
            yield Violation("foreign", f"{row} in a list of source {source}")


def _of_walk(walk: Walk, uploads: Sequence[Upload]) -> Iterator[Violation]:
    """What a walk skipped, repeated, or had in another order than it said."""
    rows = [row for page in walk.pages for row in page]
    yield from _foreign(rows, walk.source)
    there = {row.image_id for row in rows}
    if len(there) < len(rows):
        yield Violation("repeated", f"{len(rows) - len(there)} rows on the walk of {walk.begin}")
    for before, behind in pairwise(rows):
        a, b = (before, behind) if walk.oldest_first else (behind, before)
        if (a.uploaded_at, a.image_id) > (b.uploaded_at, b.image_id):
            yield Violation("out of order", f"{before} before {behind} on the walk of {walk.begin}")
    for upload in covered(walk.after, uploads):
        asked = walk.source in (None, upload.source) and (walk.since is None or upload.begin >= walk.since)
        if asked and upload.end < walk.begin and upload.image_id not in there:
            yield Violation("skipped", f"{upload} on the walk of {walk.begin}")
